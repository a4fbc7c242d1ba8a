"""The cluster that kind makes, over an engine in memory and a program that plays kind's part."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath

import pytest

from sandbox.components.cluster import kubeconfig, pod_proxy
from sandbox.components.cluster.kind import provider as kind_provider
from sandbox.components.cluster.kind.cluster_config import RESOLV_CONF
from sandbox.components.cluster.kind.command import SCRATCH, Kind
from sandbox.components.cluster.kind.node_start import FLAGS
from sandbox.components.cluster.kind.provider import VERSION, KindProvider
from sandbox.components.cluster.steps import ClusterStep
from sandbox.components.network.proxy_settings import Proxies
from sandbox.config.schema import Cluster, Nodes
from sandbox.engine import Bind
from sandbox.engine.labelled import COMPLETE
from sandbox.errors import SandboxError
from sandbox.names import BALANCER, Names
from sandbox.provider import Standing
from sandbox.step import State, Status
from sandbox.system.process import ToolFailed
from sandbox.system.resolvers import Upstream
from tests.support import memory_nodes
from tests.support.fakes import NETWORK, FakeContainer, FakeEngine
from tests.support.memory_nodes import Nodes as InMemory

KUBECONFIG = """
clusters: [{{name: {name}, cluster: {{server: "https://127.0.0.1:6443", certificate-authority-data: CA}}}}]
users: [{{name: {name}, user: {{client-certificate-data: CERT, client-key-data: KEY}}}}]
"""
PROXIES = Proxies(https="http://proxy.example.com:3128")


class Playing(Kind):
    """A kind whose clusters are containers in memory; `broken` ones come to their node and no further."""

    broken = False
    workers = 0

    def create(self, name: str, *, image: str, config: Path, folder: Path, on_line: Callable[[str], None]) -> None:
        assert config.stat().st_mode & 0o077 == 0
        on_line(" • Preparing nodes 📦  ...")
        self.nodes.add(self.names, self.names.node, "control-plane")
        for number in range(1, self.workers + 1):
            worker = f"{self.names.cluster}-worker{number if number > 1 else ''}"
            self.nodes.add(self.names, worker)
        on_line(" ✓ Preparing nodes 📦")
        if self.broken:
            raise ToolFailed("kind failed with status 1")
        on_line(" ✓ Starting control-plane 🕹️")
        on_line(" ✓ Installing StorageClass 💾")

    def kubeconfig(self, name: str, folder: Path) -> bytes:
        return KUBECONFIG.format(name=name).encode()

    def delete(self, name: str) -> None:
        for box in self.nodes.engine.containers(f"io.x-k8s.kind.cluster={name}"):
            del self.nodes.engine.boxes[box.name]

    nodes: InMemory
    names: Names


@pytest.fixture
def playing(engine: FakeEngine, names: Names) -> Playing:
    playing = Playing(Path("/kind"), NETWORK)
    object.__setattr__(playing, "nodes", InMemory(engine))
    object.__setattr__(playing, "names", names)
    engine.programs |= {"sh": memory_nodes.shell, "systemctl": lambda box, argv: (0, "active\n")}
    return playing


@pytest.fixture
def provider(engine: FakeEngine, names: Names, playing: Playing) -> KindProvider:
    return memory_nodes.provider(engine, names, playing)


def made(provider: KindProvider) -> list[str]:
    said: list[str] = []
    provider.create(said.append, lambda: said.append("usable"))
    return said


def test_podman_s_kind_has_image_by_name_and_network_by_id(
    provider: KindProvider, engine: FakeEngine, names: Names, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, str]] = []

    class Asked(Kind):
        def create(self, name: str, *, image: str, config: Path, folder: Path, on_line: object) -> None:
            asked.append((self.network, image))
            raise ToolFailed("enough")

    monkeypatch.setattr(kind_provider, "NODES_APPEAR", 0.0)
    network = engine.network(names.network)
    with pytest.raises(ToolFailed):
        made(replace(provider, kind=Asked(Path("/kind"), NETWORK, podman="unix:///podman.sock")))
    assert network and network.id != names.network and asked == [(network.id, provider.image)]


def test_cluster_is_created_stopped_started_and_deleted(provider: KindProvider, names: Names) -> None:
    assert provider.standing() is Standing.ABSENT
    assert made(provider) == [
        *("Preparing nodes", "Preparing nodes", "Starting control-plane", "usable", "Installing StorageClass"),
    ]
    assert provider.standing() is Standing.RUNNING and provider.drift() is None
    assert kubeconfig.server_of(names.kubeconfig) == "https://127.0.0.1:6443"
    provider.stop()
    assert provider.standing() is Standing.STOPPED
    provider.start(print)
    assert provider.standing() is Standing.RUNNING
    (names.folder / f"{SCRATCH}x").mkdir()  # of a kind that was killed
    (names.folder / f"{SCRATCH}x" / "docker").touch()
    assert provider.delete() and not provider.delete()
    assert provider.standing() is Standing.ABSENT
    assert not names.folder.exists()


def test_cluster_whose_port_does_not_arrive_is_an_error(provider: KindProvider, engine: FakeEngine) -> None:
    def prepared(line: str) -> None:
        node = engine.boxes[provider.names.node]
        node.spec = replace(node.spec, publish={6443: (Bind("127.0.0.1", 40001),)})

    engine.shares, engine.deaf = False, True
    with pytest.raises(SandboxError, match=r"no port .* answers at 127\.0\.0\.1:40001") as caught:
        provider.create(lambda line: prepared(line) if "Starting" in line else None, print)
    assert caught.value.id == "engine-ports"


@pytest.mark.fault(8, 27)
def test_half_created_cluster_is_explained_and_recreated(
    provider: KindProvider, playing: Playing, engine: FakeEngine
) -> None:
    """Kind was killed and left half a cluster → it is known as such, and `up` recreates it."""
    object.__setattr__(playing, "broken", True)
    shell = engine.programs["sh"]
    engine.programs["sh"] = lambda box, argv: (0, "E1127 no space left on device\n" if "kubelet" in argv[2] else "")
    with pytest.raises(ToolFailed) as caught:
        made(provider)
    assert caught.value.__notes__ == ["kubelet: E1127 no space left on device"]
    assert provider.standing() is Standing.PARTIAL
    engine.programs["sh"] = shell
    object.__setattr__(playing, "broken", False)
    made(provider)
    assert provider.standing() is Standing.RUNNING


def test_changed_nameservers_and_proxy_are_written_to_the_node(engine: FakeEngine, provider: KindProvider) -> None:
    made(provider)
    other = replace(provider, dns=replace(provider.dns, upstream=Upstream(("1.1.1.1",))))
    assert other.drift() == f"other nameservers in {provider.names.node}"
    other.start(print)
    assert other.drift() is None
    assert b"nameserver 1.1.1.1" in engine.boxes[provider.names.node].files[PurePosixPath(RESOLV_CONF)]
    other = replace(other, proxied=replace(provider.proxied, proxies=PROXIES))
    assert "another proxy" in str(other.drift())
    said: list[str] = []
    other.start(said.append)
    assert said == ["restarting containerd for another proxy"]


def test_node_that_starts_finds_the_present_proxy(
    engine: FakeEngine, names: Names, provider: KindProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    made(provider)
    provider.stop()
    other = replace(provider, proxied=replace(provider.proxied, proxies=PROXIES))
    found: list[str] = []
    said: list[str] = []

    def start(name: str) -> None:
        found.append(engine.boxes[name].files[PurePosixPath(pod_proxy.DROP_IN)].decode())
        FakeEngine.start(engine, name)
        memory_nodes.shell(engine.boxes[name], ("sh", "-c", pod_proxy.RESTART))

    monkeypatch.setattr(engine, "start", start)
    other.start(said.append)
    assert len(found) == 1 and "proxy.example.com" in found[0]
    assert said == [f"starting {names.node}"]


@pytest.fixture
def three(provider: KindProvider, playing: Playing) -> KindProvider:
    object.__setattr__(playing, "workers", 2)
    three = replace(provider, shape=Cluster(nodes=Nodes(workers=2)))
    made(three)
    return three


def test_expected_and_existing_nodes_are_all_listed(engine: FakeEngine, names: Names, provider: KindProvider) -> None:
    three = replace(provider, shape=Cluster(nodes=Nodes(workers=2)))
    expected = (names.node, f"{names.cluster}-worker", f"{names.cluster}-worker2")
    assert three.nodes.every() == expected
    nodes = InMemory(engine)
    nodes.add(names, f"{names.cluster}-by-hand")
    nodes.add(names, f"{names.cluster}-worker2").running = False
    nodes.add(names, f"{names.cluster}-external-load-balancer", "external-load-balancer")
    nodes.add(names.home.sandbox("other"), "other-control-plane", "control-plane")
    assert three.nodes.every() == (names.node, f"{names.cluster}-by-hand", *expected[1:])
    assert three.nodes.running() == (f"{names.cluster}-by-hand",)


@pytest.mark.fault(26)
def test_stopped_nodes_start_and_keep_their_addresses(engine: FakeEngine, names: Names, three: KindProvider) -> None:
    """kind gave a worker the first address, and all nodes are stopped → `start` gives each its own again"""
    assert three.drift() is None
    text = engine.boxes[names.node].files[PurePosixPath(RESOLV_CONF)]
    assert text.index(b"nameserver 127.0.0.11") < text.index(b"nameserver 9.9.9.9"), "nodes are found by name"
    order = (f"{names.cluster}-worker2", names.node, f"{names.cluster}-worker")
    for number, name in enumerate(order, start=2):
        engine.boxes[name].files[FLAGS] = f"--node-ip=172.30.0.{number}".encode()
    prepared: list[str] = []

    def bash(box: FakeContainer, argv: Sequence[str]) -> tuple[int, str]:
        prepared.append(box.spec.name)
        return 0, ""

    engine.programs["bash"] = bash
    three.stop()
    assert sorted(prepared) == sorted(order)
    said: list[str] = []
    three.start(said.append)
    assert said == [f"starting {name}" for name in order]


def test_change_that_needs_a_new_cluster_is_explained(provider: KindProvider, three: KindProvider) -> None:
    assert three.stale() is None
    assert str(provider.stale()) == "it was made with other nodes"
    gates = replace(three, shape=three.shape.model_copy(update={"feature_gates": {"Foo": True}, "ip_family": "dual"}))
    assert str(gates.stale()) == "it was made with other ip_family, feature_gates"
    three.engine.write_file(three.names.node, VERSION, b"v1.35.4\n")
    newer = replace(three, shape=three.shape.model_copy(update={"kubernetes": "v1.36.3"}))
    assert three.stale() is None
    said = "it runs Kubernetes v1.35.4, the spec says v1.36.3"
    assert newer.stale() == said
    three.engine.write_file(three.names.node, VERSION, b"v1.34.4\n")
    minor = replace(three, shape=three.shape.model_copy(update={"kubernetes": "v1.34"}))
    assert minor.stale() is None


@pytest.mark.fault(27)
def test_cluster_without_its_balancer_is_recreated_with_consent(
    engine: FakeEngine, names: Names, provider: KindProvider
) -> None:
    three = replace(provider, shape=Cluster(nodes=Nodes(control_plane=3)))
    nodes = InMemory(engine)
    nodes.add(names, names.node, "control-plane")
    balancer = nodes.add(names, f"{names.cluster}-{BALANCER}", BALANCER)
    engine.write_file(names.node, COMPLETE, json.dumps(three._record()).encode())
    assert three.stale() is None
    engine.remove_container(balancer.spec.name)
    status = ClusterStep(three, names, "v1.36.3").check()
    assert (status.state, status.loses) == (State.STALE, "everything in the cluster")
    assert "the balancer of its control planes is gone" in status.detail, "kind makes it only with the cluster"


@pytest.mark.fault(27)
def test_cluster_whose_nodes_others_removed_is_reported_as_lost(
    engine: FakeEngine, names: Names, provider: KindProvider
) -> None:
    """Its nodes are removed by `docker rm` → it is known that there was a cluster; after `down` it is not."""
    step = ClusterStep(provider, names, "v1")
    made(provider)
    assert not step.is_lost()
    engine.remove_container(names.node)
    assert step.is_lost()
    assert step.check() == Status(State.ABSENT, "its nodes were removed, not by sandbox")
    second = InMemory(engine).add(names, f"{names.cluster}-control-plane2", "control-plane")
    assert step.stop() and not second.running, "what is left of it can be stopped"
    provider.delete()
    assert not step.is_lost()


def test_kubelet_that_a_killed_stop_ended_is_started(engine: FakeEngine, provider: KindProvider) -> None:
    made(provider)
    told: list[Sequence[str]] = []

    def systemctl(box: FakeContainer, argv: Sequence[str]) -> tuple[int, str]:
        told.append(argv)
        return 0, "active\n"

    engine.programs["systemctl"] = systemctl
    provider.start(print)
    assert ["systemctl", "start", "containerd", "kubelet"] in told
    engine.programs["sh"] = lambda box, argv: (int("kubelet" in argv[2]), "")
    assert provider.drift() == f"the kubelet of {provider.names.node} is stopped"


@pytest.mark.fault(84)
@pytest.mark.parametrize("how", ["taken from it", "removed", "removed while stopped"])
def test_nodes_off_their_network_are_connected_again(
    engine: FakeEngine, names: Names, three: KindProvider, how: str
) -> None:
    """The network was removed and made again, or a node taken from it → `up` restarts the nodes on it."""
    three.create(print, print)
    if how == "removed while stopped":
        three.stop()
    else:
        for one in kind_provider.nodes(engine, names).all():
            engine.disconnect_network(NETWORK, one.name)
            if how == "taken from it":
                break
    if how != "taken from it":
        engine.remove_network(NETWORK)
        engine.create_network(NETWORK, names.labels)
    assert "is not on the network" in str(three.drift()) or how == "removed while stopped"
    three.start(print)
    assert kind_provider.nodes(engine, names).outside() == ()
    assert all(one.running and NETWORK in one.addresses for one in kind_provider.nodes(engine, names).all())
    assert three.drift() is None
