"""A cluster of minikube's, over an engine in memory and a minikube whose profiles are containers there."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Any
from unittest.mock import Mock

import pytest

from sandbox.bundle.system_images import UPSTREAM
from sandbox.components import content_hash
from sandbox.components.cluster.minikube import provider as minikube_provider
from sandbox.components.cluster.minikube.command import Minikube, MinikubeFailed
from sandbox.components.cluster.minikube.provider import NO_SECOND_PULL, PROFILE, ROLE, MinikubeProvider
from sandbox.components.cluster.pod_proxy import Proxied
from sandbox.components.cluster.steps import JoinStep
from sandbox.components.network.proxy_settings import Proxies
from sandbox.engine import ContainerSpec, EngineError
from sandbox.errors import SandboxError, UsageError
from sandbox.names import EDGE, HOST_PORT, LABEL, Names
from sandbox.provider import Standing
from sandbox.step import State
from sandbox.system import files
from tests.support.api_server import kubeconfig, serving
from tests.support.fakes import NETWORK, FakeContainer, FakeEngine, NoWork, applied

CLASSES = "/apis/networking.k8s.io/v1/ingressclasses"
SYSTEM, THEIRS = "/api/v1/namespaces/sandbox-system", "/api/v1/namespaces/demo"
DOCKER = ("docker", "containerd")


@dataclass
class World:
    engine: FakeEngine
    profiles: dict[str, tuple[str, str]] = field(default_factory=dict)
    kubelet: str = "Running"
    broken: bool = False
    hurried: bool = False


@dataclass(frozen=True)
class Playing(Minikube):
    """A minikube whose nodes are containers in memory, on a network of the profile's name."""

    world: World

    def start(self, *, kubeconfig: Path | None, options: tuple[str, ...] = (), say: Callable[[str], None]) -> None:
        engine, name = self.world.engine, self.profile
        if name in engine.boxes:
            engine.start(name)
        else:
            if name not in engine.networks:
                engine.create_network(name, {})
            labels = {PROFILE: name, ROLE: ""}
            spec = ContainerSpec(name=name, image="node", command=(), labels=labels, network=name)
            engine.add(FakeContainer(spec, "", read_only=False))
            self.world.profiles[name] = DOCKER
        if self.world.broken:
            raise MinikubeFailed("minikube start failed")
        self.world.kubelet = "Running"
        say("Done")
        if kubeconfig:
            kubeconfig.write_text(" ".join(options))

    def stopped_parts(self, kubeconfig: Path | None) -> dict[str, str]:
        # The address in the kubeconfig is that of an earlier start.
        parts = {"Kubeconfig": "Misconfigured"}
        if not self.world.engine.boxes[self.profile].running:
            return {**parts, **dict.fromkeys(("Host", "Kubelet", "APIServer"), "Stopped")}
        if self.world.kubelet != "Running":
            parts |= dict.fromkeys(("Kubelet", "APIServer"), self.world.kubelet)
        return parts

    def stop(self, kubeconfig: Path | None) -> None:
        self.world.engine.stop(self.profile)

    def delete(self, kubeconfig: Path) -> None:
        if self.world.hurried:  # and another user has made the edge again
            self.world.engine.connect_network(self.profile, EDGE, "172.31.255.250")
        else:
            self.world.engine.remove_container(self.profile)
            self.world.engine.remove_network(self.profile)
        del self.world.profiles[self.profile]

    def inspect(self) -> tuple[str, str] | None:
        return self.world.profiles.get(self.profile)

    def write_kubeconfig(self, kubeconfig: Path) -> None:
        kubeconfig.write_text(self.profile)


@pytest.fixture
def world(engine: FakeEngine) -> World:
    engine.programs["sh"] = lambda box, argv: (0, "")
    return World(engine)


def provider_of(world: World, names: Names, profile: str | None = None) -> MinikubeProvider:
    tool = Playing(Path("/minikube"), profile or names.cluster, world)
    nodes = minikube_provider.nodes(world.engine, tool.profile)
    told = Proxied(engine=world.engine, nodes=nodes, names=names, domain="demo.localhost", proxies=Proxies())
    return MinikubeProvider(
        engine=world.engine, names=names, minikube=tool, adopted=profile is not None, kubernetes="v1.36.3", proxied=told
    )


@pytest.fixture
def provider(world: World, names: Names) -> MinikubeProvider:
    return provider_of(world, names)


def ours(engine: FakeEngine, names: Names) -> None:
    labels = {names.registry: names.labels, EDGE: {**names.labels, LABEL: ""}, "theirs": {}}
    for name, own in labels.items():
        engine.run(ContainerSpec(name=name, image=UPSTREAM["registry"], command=("run",), labels=own, network=NETWORK))


def test_profile_is_created_stopped_started_and_deleted(provider: MinikubeProvider, world: World, names: Names) -> None:
    assert provider.standing() is Standing.ABSENT
    said: list[str] = []
    provider.create(said.append, lambda: said.append("usable"))
    assert said == ["Done"], "minikube changes CoreDNS to the end: no one may begin before"
    assert "--driver=docker --container-runtime=containerd --kubernetes-version=v1.36.3" in names.kubeconfig.read_text()
    assert NO_SECOND_PULL not in names.kubeconfig.read_text()
    assert (provider.standing(), provider.drift()) == (Standing.RUNNING, None)
    assert provider.nodes.running() == (names.cluster,)
    provider.stop()
    assert provider.standing() is Standing.STOPPED
    said.clear()
    provider.start(said.append)
    provider.start(said.append)
    assert said == ["Done"], "a kubelet that runs is not started again"
    world.kubelet = "Stopped"
    provider.start(said.append)
    assert (said, world.kubelet, provider.standing()) == (["Done"] * 2, "Running", Standing.RUNNING)
    assert provider.delete() and not provider.delete()
    assert not world.profiles and not names.folder.exists()
    world.broken = True
    with pytest.raises(MinikubeFailed):
        provider.create(print, print)
    assert provider.standing() is Standing.PARTIAL
    world.broken = False
    replace(provider, loaded=True).create(print, print)
    assert provider.standing() is Standing.RUNNING
    assert NO_SECOND_PULL in names.kubeconfig.read_text().split()


def test_kubeconfig_is_removed_before_nodes(
    provider: MinikubeProvider, names: Names, monkeypatch: pytest.MonkeyPatch
) -> None:
    provider.create(print, print)
    monkeypatch.setattr(Playing, "delete", Mock(side_effect=KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        provider.delete()
    assert not names.kubeconfig.exists()


def test_leftovers_of_minikube_are_removed_too(
    provider: MinikubeProvider, world: World, names: Names, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine, world.hurried = world.engine, True
    remove, refusals = engine.remove_container, ["removal is already in progress"]

    def busy(name: str) -> bool:
        if refusals:
            raise EngineError("removing failed", details=refusals.pop())
        return remove(name)

    monkeypatch.setattr(engine, "remove_container", busy)
    ours(engine, names)
    provider.create(print, print)
    for volume, profile in ((names.cluster, names.cluster), ("mine", "mine")):
        engine.create_volume(volume, {PROFILE: profile})
    assert provider.delete()
    assert (engine.network(names.cluster), names.cluster in engine.boxes) == (None, False)
    assert engine.volumes == {"mine": {PROFILE: "mine"}}


def test_image_load_reaches_every_node_or_fails(
    provider: MinikubeProvider, world: World, names: Names, tmp_path: Path
) -> None:
    provider.create(print, print)
    archive, taken = tmp_path / "image.tar", list[bytes]()
    archive.write_bytes(b"layers")

    def ctr(box: FakeContainer, argv: Sequence[str]) -> tuple[int, str]:
        taken.append(box.files[PurePosixPath(argv[-1])])
        return (0, "") if len(taken) == 1 else (1, "no space left on device\n")

    def rm(box: FakeContainer, argv: Sequence[str]) -> tuple[int, str]:
        del box.files[PurePosixPath(argv[-1])]
        return 0, ""

    world.engine.programs |= {"ctr": ctr, "rm": rm}
    provider.load(archive)
    assert taken == [b"layers"]
    with pytest.raises(SandboxError, match="did not take the images") as caught:
        provider.load(archive)
    assert caught.value.details == "no space left on device"
    assert b"layers" not in world.engine.boxes[names.cluster].files.values()


def test_containers_join_at_range_end_and_leave_before_network(
    provider: MinikubeProvider, world: World, names: Names
) -> None:
    engine = world.engine
    ours(engine, names)
    provider.create(print, print)
    step = JoinStep(engine, names, names.cluster)
    assert step.check().state is State.ABSENT
    assert applied(step).state is State.READY
    assert {one.joined[names.cluster] for one in engine.boxes.values() if one.joined} == {"172.31.255.250"}
    assert "theirs" not in engine.network(names.cluster).members  # type: ignore[union-attr]
    image, labels = UPSTREAM["registry"], names.labels
    engine.run(ContainerSpec(name="mirror", image=image, command=("run",), labels=labels, network=NETWORK))
    assert (step.check().state, step.check().detail) == (State.DRIFTED, "without mirror")
    assert provider.delete()
    assert names.cluster not in engine.networks


def test_user_profile_stays_and_sandbox_objects_leave_it(world: World, names: Names) -> None:
    Playing(Path("/minikube"), "mine", world).start(kubeconfig=None, say=print)
    ours(world.engine, names)
    adopting = provider_of(world, names, "mine")
    assert adopting.standing() is Standing.RUNNING
    adopting.start(print)
    assert names.kubeconfig.read_text() == "mine"
    JoinStep(world.engine, names, "mine").apply(NoWork())
    ran: list[str] = []

    def shell(box: FakeContainer, argv: Sequence[str]) -> tuple[int, str]:
        ran.append(argv[2])
        return 0, ""

    world.engine.programs["sh"] = shell
    with serving() as server:
        kubeconfig(names.kubeconfig, server.server_address[1])
        metadata, services = {"annotations": {content_hash.MARK: "x"}}, f"{THEIRS}/services"
        theirs: dict[str, Any] = {
            THEIRS: {},
            f"{CLASSES}/kong": {"metadata": {"name": "kong"}},
            f"{services}/db": {"metadata": {"name": "db", "namespace": "demo"}},
        }
        server.objects |= theirs | {SYSTEM: {}}
        server.objects |= {f"{CLASSES}/{one}": {"metadata": {"name": one, **metadata}} for one in ("nginx", "alb")}
        port = {"name": "sandbox-port-1", "namespace": "demo", "labels": {HOST_PORT: "true"}}
        server.objects[f"{services}/sandbox-port-1"] = {"metadata": port}
        assert not adopting.delete()
        assert server.objects == theirs
    assert ["rm -rf /etc/sandbox" in script for script in ran] == [True]
    assert "mine" in world.profiles and "mine" in world.engine.boxes
    assert world.engine.network("mine").members == {"mine"}  # type: ignore[union-attr]
    assert not names.folder.exists()


def test_every_cluster_wide_role_leaves_a_user_profile() -> None:
    texts = (
        files.packaged("sandbox.components.ingress", "traefik.yaml"),
        files.packaged("sandbox.components.ingress", "traefik-gateway.yaml"),
        files.packaged("sandbox.components.addons", "included/metallb/metallb.yaml"),
    )
    roles = set(re.findall(r"kind: ClusterRole, name: ([a-z-]+)", "".join(texts)))
    assert roles == {name for _, kind, name, _ in minikube_provider.OURS if kind == "ClusterRole"}


@pytest.mark.parametrize("found", [None, ("kvm2", "containerd"), ("docker", "docker")])
def test_unusable_profile_is_refused_with_a_fix(world: World, names: Names, found: tuple[str, str] | None) -> None:
    world.profiles |= {"mine": found} if found else {}
    adopting = provider_of(world, names, "mine")
    object.__setattr__(adopting.minikube, "program", Path("/bin/true"))
    with pytest.raises(UsageError, match="mine") as caught:
        adopting.create(print, print)
    assert "minikube start --profile" in caught.value.fix
