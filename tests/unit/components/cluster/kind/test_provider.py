"""The cluster that kind makes, over an engine in memory and a program that plays kind's part."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Literal
from unittest.mock import Mock

import pytest
import yaml

from sandbox.components.certificates.authority import make_root
from sandbox.components.cluster import company_ca, kubeconfig
from sandbox.components.cluster.company_ca import CompanyCa
from sandbox.components.cluster.kind import provider as kind_provider
from sandbox.components.cluster.kind.cluster_config import RESOLV_CONF
from sandbox.components.cluster.kind.command import SCRATCH, Kind
from sandbox.components.cluster.kind.node_start import FLAGS
from sandbox.components.cluster.kind.provider import VERSION, KindProvider
from sandbox.components.cluster.kind.worker_join import CONFIG, JOINED, ROLE
from sandbox.components.cluster.steps import ClusterStep
from sandbox.components.network.proxy_settings import Proxies
from sandbox.config.schema import Cluster, Nodes
from sandbox.engine import Bind
from sandbox.engine.labelled import COMPLETE
from sandbox.errors import SandboxError
from sandbox.names import BALANCER, LABEL, Names
from sandbox.provider import Standing
from sandbox.step import State, Status
from sandbox.system.process import ToolFailed
from sandbox.system.resolvers import Upstream
from tests.support import memory_nodes
from tests.support.fakes import NETWORK, FakeContainer, FakeEngine
from tests.support.memory_nodes import Nodes as InMemory
from tests.support.tls import DOMAIN, NOW

Joined = dict[str, dict[PurePosixPath, bytes]]
KUBECONFIG = """
clusters: [{{name: {name}, cluster: {{server: "https://127.0.0.1:6443", certificate-authority-data: CA}}}}]
users: [{{name: {name}, user: {{client-certificate-data: CERT, client-key-data: KEY}}}}]
"""
PROXIES = Proxies(https="http://proxy.example.com:3128")


@dataclass(frozen=True, kw_only=True)
class Playing(Kind):
    """A kind whose clusters are containers in memory; `broken` ones come to their node and no further."""

    nodes: InMemory
    names: Names
    workers: int = 0
    broken: bool = False

    def create(self, name: str, *, image: str, config: Path, folder: Path, on_line: Callable[[str], None]) -> None:
        assert config.stat().st_mode & 0o077 == 0
        on_line(" • Preparing nodes 📦  ...")
        self.nodes.add(self.names, self.names.node, "control-plane").files[JOINED] = b""
        for number in range(1, self.workers + 1):
            worker = f"{self.names.cluster}-worker{number if number > 1 else ''}"
            self.nodes.add(self.names, worker).files[JOINED] = b""
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


@pytest.fixture
def playing(engine: FakeEngine, names: Names) -> Playing:
    engine.programs |= {"sh": memory_nodes.shell, "systemctl": lambda box, argv: (0, "active\n")}
    return Playing(Path("/kind"), NETWORK, nodes=InMemory(engine), names=names)


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
    class Asked(Kind):
        def create(self, name: str, *, image: str, config: Path, folder: Path, on_line: object) -> None:
            raise ToolFailed(f"{self.network} {image}")

    monkeypatch.setattr(kind_provider, "NODES_APPEAR", 0.0)
    with pytest.raises(ToolFailed, match=f"^{engine.networks[names.network].id} {provider.image}"):
        made(replace(provider, kind=Asked(Path("/kind"), NETWORK, podman="unix:///podman.sock")))


def test_cluster_is_created_stopped_started_and_deleted(provider: KindProvider, names: Names) -> None:
    assert provider.standing() is Standing.ABSENT
    said = ["Preparing nodes", "Preparing nodes", "Starting control-plane", "usable", "Installing StorageClass"]
    assert made(provider) == said
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
    shell = engine.programs["sh"]
    engine.programs["sh"] = lambda box, argv: (0, "E1127 no space left on device\n" if "kubelet" in argv[2] else "")
    with pytest.raises(ToolFailed) as caught:
        made(replace(provider, kind=replace(playing, broken=True)))
    assert caught.value.__notes__ == ["kubelet: E1127 no space left on device"]
    assert provider.standing() is Standing.PARTIAL
    engine.programs["sh"] = shell
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


@pytest.fixture
def three(provider: KindProvider, playing: Playing) -> KindProvider:
    three = replace(provider, kind=replace(playing, workers=2), shape=Cluster(nodes=Nodes(workers=2)))
    made(three)
    return three


@pytest.mark.fault(26)
def test_stopped_nodes_start_and_keep_their_addresses(engine: FakeEngine, names: Names, three: KindProvider) -> None:
    """kind gave a worker the first address, and all nodes are stopped → `start` gives each its own again"""
    assert three.drift() is None
    text = engine.boxes[names.node].files[PurePosixPath(RESOLV_CONF)]
    assert text.index(b"nameserver 127.0.0.11") < text.index(b"nameserver 9.9.9.9"), "nodes are found by name"
    order = (f"{names.cluster}-worker2", names.node, f"{names.cluster}-worker")
    for number, name in ((2, order[0]), (4, order[2])):  # whose address is not known had the one between
        engine.boxes[name].files[FLAGS] = f"--node-ip=172.30.0.{number}".encode()
    three.stop()
    said: list[str] = []
    three.start(said.append)
    assert said == [f"starting {name}" for name in order]


@pytest.fixture
def joined(engine: FakeEngine) -> Joined:
    """The files of each worker when `kubeadm join` ran on it; kubeadm and kubectl succeed."""
    joined: Joined = {}

    def run(box: FakeContainer, argv: Sequence[str]) -> tuple[int, str]:
        if argv[1] == "join":
            joined[box.spec.name] = dict(box.files)
            box.files[JOINED] = b""
        return 0, "kubeadm join c:6443 --token abc.def --discovery-token-ca-cert-hash sha256:12 \n"

    engine.programs |= {"kubeadm": run, "kubectl": run}
    return joined


@pytest.mark.fault(27)
def test_more_workers_join_and_one_that_is_lost_is_recreated(
    engine: FakeEngine, names: Names, provider: KindProvider, joined: Joined
) -> None:
    """A worker's container is removed → `up` recreates it, and it joins the cluster."""
    made(provider)
    three = replace(provider, shape=Cluster(nodes=Nodes(workers=2)))
    workers = [f"{names.cluster}-worker", f"{names.cluster}-worker2"]
    assert three.stale() is None and three.drift() == f"{', '.join(workers)} is not there"
    three.start(print)
    assert three.drift() is None and three.nodes.running() == (names.node, *workers)
    for worker in workers:
        joining = yaml.safe_load(joined[worker][CONFIG])
        assert joining["discovery"]["bootstrapToken"]["token"] == "abc.def"
        assert engine.boxes[worker].spec.labels[ROLE] == "worker"
    engine.remove_container(workers[0])
    assert three.drift() == f"{workers[0]} is not there"
    three.start(print)
    assert three.drift() is None


@pytest.mark.parametrize("family", ["ipv4", "dual"])
def test_worker_has_its_addresses_and_the_companys_ca_before_it_joins(
    engine: FakeEngine, provider: KindProvider, tmp_path: Path, joined: Joined, family: Literal["ipv4", "dual"]
) -> None:
    """Its containerd is not started again for the CA, while the kubelet starts pods."""
    engine.remove_network(NETWORK)
    engine.create_network(NETWORK, {LABEL: ""}, subnet6="fd00::/64")
    made(replace(provider, shape=Cluster(ip_family=family)))
    file, shape = tmp_path / "company.pem", Cluster(ip_family=family, nodes=Nodes(workers=1))
    file.write_bytes(make_root([DOMAIN], now=NOW).cert_pem)
    company = CompanyCa(file)
    replace(provider, shape=shape, company=company).start(print)
    (worker, present), *_ = joined.items()
    assert present[company_ca.PLACE] == company.pem
    container = engine.container(worker)
    assert container
    addresses = [container.addresses[NETWORK], *([container.addresses6[NETWORK]] if family == "dual" else [])]
    registration = yaml.safe_load(present[CONFIG])["nodeRegistration"]
    assert {"name": "node-ip", "value": ",".join(addresses)} in registration["kubeletExtraArgs"]


@pytest.mark.fault(8)
def test_worker_left_unjoined_by_a_killed_up_is_recreated(
    engine: FakeEngine, names: Names, three: KindProvider, joined: Joined
) -> None:
    """`up` is killed when it had made a worker's container, before that joined → the next one makes it again"""
    left, by_hand = f"{names.cluster}-worker2", f"{names.cluster}-by-hand"
    InMemory(engine).add(names, by_hand).files |= engine.boxes[left].files
    for name in (left, by_hand):
        del engine.boxes[name].files[JOINED]
    assert three.drift() == f"{left} has not joined"
    three.start(print)
    assert three.drift() is None
    assert list(joined) == [left]


def test_a_worker_that_cannot_join_is_not_left_behind(engine: FakeEngine, names: Names, provider: KindProvider) -> None:
    engine.programs |= {"kubectl": lambda box, argv: (0, "ok"), "kubeadm": lambda box, argv: (1, "error: no etcd")}
    made(provider)
    two = replace(provider, shape=Cluster(nodes=Nodes(workers=1)))
    with pytest.raises(SandboxError, match="kubeadm token create") as caught:
        two.start(print)
    assert caught.value.details == "error: no etcd"
    assert list(engine.boxes) == [names.node]


def test_change_that_needs_a_new_cluster_is_explained(provider: KindProvider, three: KindProvider) -> None:
    assert three.stale() is None
    assert str(provider.stale()) == "it was made with 1 control plane and 2 workers"
    gates = replace(three, shape=three.shape.model_copy(update={"feature_gates": {"Foo": True}, "ip_family": "dual"}))
    assert str(gates.stale()) == "it was made with another ip_family, feature_gates"
    three.engine.write_files(three.names.node, {VERSION: b"v1.35.4\n"})
    newer = replace(three, shape=three.shape.model_copy(update={"kubernetes": "v1.36.3"}))
    assert newer.stale() == "it runs Kubernetes v1.35.4, the spec says v1.36.3"
    minor = replace(three, shape=three.shape.model_copy(update={"kubernetes": "v1.35"}))
    assert (three.stale(), minor.stale()) == (None, None)


@pytest.mark.fault(27)
def test_cluster_without_balancer_or_first_is_recreated_with_consent(
    engine: FakeEngine, names: Names, provider: KindProvider
) -> None:
    """The others have all that the cluster holds → recreating it needs the user's consent, and `stop` stops them."""
    three = replace(provider, shape=Cluster(nodes=Nodes(control_plane=3)))
    other, nodes = f"{names.cluster}-control-plane2", InMemory(engine)
    nodes.add(names, names.node, "control-plane")
    balancer = nodes.add(names, f"{names.cluster}-{BALANCER}", BALANCER)
    engine.write_files(names.node, {COMPLETE: json.dumps(three._record()).encode()})
    assert three.stale() is None
    engine.remove_container(balancer.spec.name)
    assert "the balancer of its control planes is gone" in str(three.stale()), "kind makes it only with the cluster"
    engine.remove_container(names.node)
    nodes.add(names, other, "control-plane")
    assert three.standing() is Standing.ABSENT, "of a creation that was interrupted"
    engine.write_files(other, {JOINED: b"a kubelet's account"})
    step = ClusterStep(three, names, "v1.36.3")
    found = step.check()
    assert (found.state, found.loses) == (State.STALE, "everything in the cluster")
    assert f"{names.node}, by which it is managed, is gone; {other} still have" in found.detail
    assert step.stop() and not engine.boxes[other].running


@pytest.mark.fault(27)
def test_cluster_whose_nodes_others_removed_is_reported_as_lost(
    engine: FakeEngine, names: Names, provider: KindProvider
) -> None:
    """Its nodes are removed by `docker rm` → it is known that there was a cluster; after `down` it is not."""
    step = ClusterStep(provider, names, "v1")
    made(provider)
    engine.remove_container(names.node)
    assert step.check() == Status(State.ABSENT, "its nodes were removed, not by sandbox")
    second = InMemory(engine).add(names, f"{names.cluster}-control-plane2", "control-plane")
    assert step.stop() and not second.running, "what is left of it can be stopped"
    provider.delete()
    assert not step.is_lost()


def test_kubelet_that_a_killed_stop_ended_is_started(engine: FakeEngine, provider: KindProvider) -> None:
    made(provider)
    engine.programs["systemctl"] = systemctl = Mock(return_value=(0, "active\n"))
    provider.start(print)
    assert ["systemctl", "start", "containerd", "kubelet"] in [call.args[1] for call in systemctl.call_args_list]
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
        for node in three.nodes.all()[: 1 if how == "taken from it" else None]:
            engine.disconnect_network(NETWORK, node.name)
    if how != "taken from it":
        engine.remove_network(NETWORK)
        engine.create_network(NETWORK, names.labels)
    assert "is not on the network" in str(three.drift()) or how == "removed while stopped"
    three.start(print)
    assert three.nodes.outside() == ()
    assert all(node.running and NETWORK in node.addresses for node in three.nodes.all())
    assert three.drift() is None
