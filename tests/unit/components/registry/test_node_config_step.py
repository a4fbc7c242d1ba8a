"""The registry joined to a cluster: files on nodes, objects, a canary through both; another user's in its place."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

from sandbox.bundle.system_images import UPSTREAM
from sandbox.components.certificates.steps import ROOT
from sandbox.components.cluster.containerd_hosts import FOLDER, MARK
from sandbox.components.cluster.kind import provider as kind_provider
from sandbox.components.registry import node_config_step
from sandbox.components.registry.container_step import RegistryStep
from sandbox.components.registry.external_step import ExternalRegistryStep, TeamRegistryStep, external
from sandbox.components.registry.node_config_step import TlsRegistryStep, WiringStep, tls_host_files
from sandbox.config.schema import ResolvedRegistry
from sandbox.engine import Bind, ContainerSpec
from sandbox.errors import SandboxError
from sandbox.images import canary_image
from sandbox.names import INGRESS_PORT, SYSTEM_NAMESPACE, Names
from sandbox.oci.oci_errors import RegistryError
from sandbox.step import State, Status
from sandbox.system.wait import WaitTimeout
from tests.support.api_server import ApiServer
from tests.support.fakes import NETWORK, FakeContainer, FakeEngine, NoWork, applied
from tests.support.memory_nodes import Nodes
from tests.support.ports import free_port
from tests.support.registry_simulator import Fault, Simulator
from tests.support.token_server import TokenServer

HOSTING = "/api/v1/namespaces/kube-public/configmaps/local-registry-hosting"
SLICE = f"/apis/discovery.k8s.io/v1/namespaces/{SYSTEM_NAMESPACE}/endpointslices/registry"
SERVICE = f"/api/v1/namespaces/{SYSTEM_NAMESPACE}/services/registry"
IN_CLUSTER = f"registry.{SYSTEM_NAMESPACE}.svc.cluster.local:5000"
Files = dict[PurePosixPath, bytes]


@pytest.fixture
def nodes(engine: FakeEngine, names: Names) -> Nodes:
    nodes = Nodes(engine)
    nodes.add(names, names.node, "control-plane")
    return nodes


@pytest.fixture
def step(engine: FakeEngine, names: Names, server: ApiServer, registry: Simulator, nodes: Nodes) -> WiringStep:
    start(engine, names.registry)
    return wiring(engine, names, port=urlsplit(registry.url).port)


def wiring(engine: FakeEngine, names: Names, **registry: Any) -> WiringStep:
    return WiringStep(engine, kind_provider.nodes(engine, names), names, ResolvedRegistry(**registry))


def start(engine: FakeEngine, name: str, port: int = 0, network: str = NETWORK) -> None:
    """Start a registry, published on this machine's loopback if a port is given."""
    publish = {5000: (Bind("127.0.0.1", port),)} if port else {}
    image, command = UPSTREAM["registry"], ("registry",)
    engine.run(ContainerSpec(name=name, image=image, command=command, labels={}, network=network, publish=publish))


@pytest.fixture
def files(names: Names, nodes: Nodes) -> Files:
    return nodes.engine.boxes[names.node].files


def hosts(files: Files) -> set[str]:
    """The registries that the node with these files has been told of."""
    return {path.parent.name for path in files if path.name == "hosts.toml"}


def test_nodes_tools_and_pods_learn_of_it(
    engine: FakeEngine, names: Names, server: ApiServer, step: WiringStep, nodes: Nodes, files: Files
) -> None:
    assert step.check().state is State.DRIFTED
    assert nodes.pulled == []
    assert applied(step).state is State.READY
    port, runtime = step.registry.port, f"{names.registry}:5000"
    assert hosts(files) == {f"localhost:{port}", runtime, f"{names.registry}:{port}", IN_CLUSTER}
    host = {f"http://{runtime}": {"capabilities": ["pull", "resolve"]}}
    for data in files.values():
        assert tomllib.loads(data.decode()) == {"server": f"http://{runtime}", "host": host}
    said = yaml.safe_load(server.objects[HOSTING]["data"]["localRegistryHosting.v1"])
    assert (said["host"], said["hostFromContainerRuntime"]) == (f"localhost:{port}", runtime)
    assert said["hostFromClusterNetwork"] == IN_CLUSTER
    assert server.objects[SLICE]["endpoints"] == [{"addresses": [engine.boxes[names.registry].address]}]
    assert server.objects[SLICE]["metadata"]["labels"] == {"kubernetes.io/service-name": "registry"}
    assert server.objects[SERVICE]["spec"] == {"ports": [{"name": "http", "port": 5000}]}, "without a selector"


def test_removed_cluster_objects_are_restored(server: ApiServer, step: WiringStep) -> None:
    step.apply(NoWork())
    for path in (HOSTING, SERVICE, SLICE):
        before = server.objects.pop(path)
        assert step.check().state is State.DRIFTED
        assert applied(step).state is State.READY
        assert server.objects[path] == before


@pytest.mark.fault(25)
@pytest.mark.parametrize("content", [None, b"server = 'elsewhere'\n"])
def test_changed_node_file_is_restored(step: WiringStep, files: Files, content: bytes | None) -> None:
    """Hosts.toml on the node is changed → `up` writes it again."""
    step.apply(NoWork())
    path = FOLDER / f"localhost:{step.registry.port}" / "hosts.toml"
    before = files.pop(path)
    if content is not None:
        files[path] = content
    assert step.check().state is (State.ABSENT if content is None else State.DRIFTED)
    assert str(path) in step.check().detail
    assert applied(step).state is State.READY
    assert files[path] == before


def test_files_of_an_earlier_spec_go_and_those_of_others_stay(step: WiringStep, files: Files) -> None:
    step.apply(NoWork())
    old, theirs = FOLDER / "localhost:4999" / "hosts.toml", FOLDER / "hub.demo.localhost" / "hosts.toml"
    files |= {old: MARK + b"server = 'x'\n", theirs: b"server = 'y'\n"}
    assert step.check().state is State.DRIFTED and str(old) in step.check().detail
    assert applied(step).state is State.READY
    assert old not in files and theirs in files
    kept, gone = "kept.demo.localhost", ("kept.demo.localhost:8443", "old.demo.localhost")  # behind the ingress
    files |= tls_host_files((kept, *gone), INGRESS_PORT)
    step = replace(step, registry=step.registry.model_copy(update={"tls": (kept,)}))
    assert "from an earlier spec" in step.check().detail
    assert applied(step).state is State.READY
    assert kept in hosts(files) and hosts(files).isdisjoint(gone)


def test_canary_is_pulled_on_each_node_and_slowest_is_reported(
    names: Names, step: WiringStep, nodes: Nodes, files: Files
) -> None:
    step.apply(NoWork())
    late = nodes.add(names, "late")
    nodes.answers["late"] = "pulled 55\n"
    status = step.check()
    assert status.state is State.ABSENT and "late" in status.detail
    step.apply(NoWork())
    assert late.files == files
    nodes.pulled.clear()
    assert step.check().detail == "wired, canary 55 ms"
    image = f"localhost:{step.registry.port}/{canary_image.REPOSITORY}@{canary_image.document().digest}"
    assert sorted(nodes.pulled) == sorted([(names.node, image), ("late", image)])


def test_mirrors_come_before_their_upstreams(engine: FakeEngine, names: Names, step: WiringStep, files: Files) -> None:
    step.apply(NoWork())
    mirrored = wiring(engine, names, mirrors=("docker.io", "http://reg.office:5000"), port=step.registry.port)
    assert mirrored.check().state is State.ABSENT
    mirrored.apply(NoWork())
    hub, office = (files[FOLDER / name / "hosts.toml"].decode() for name in ("docker.io", "reg.office:5000"))
    assert 'server = "https://registry-1.docker.io"' in hub and f"http://{names.mirror('docker.io')}:5000" in hub
    assert 'server = "http://reg.office:5000"' in office
    assert step.check().state is State.DRIFTED
    step.apply(NoWork())
    assert "docker.io" not in hosts(files)


def test_without_a_registry_it_says_what_to_do(engine: FakeEngine, names: Names, step: WiringStep) -> None:
    step.apply(NoWork())
    engine.remove_container(names.registry)
    with pytest.raises(SandboxError, match="has no address") as caught:
        step.check()
    assert caught.value.fix == "sandbox up"


@pytest.mark.fault(22)
def test_pull_that_fails_is_shown_with_its_node_and_the_logs(names: Names, step: WiringStep, nodes: Nodes) -> None:
    """A node does not reach the registry → containerd's own words, and where to read more."""
    step.apply(NoWork())
    nodes.answers[names.node] = "dial tcp 10.0.0.2:5000: connect: connection refused\n"
    status = step.check()
    assert status.state is State.DRIFTED
    assert status.detail.startswith(f"pull: dial tcp 10.0.0.2:5000: connect: connection refused, on {names.node}; fix:")
    assert f"docker logs {names.registry}" in status.detail and "journalctl -u containerd" in status.detail


def test_registry_that_accepts_no_images_is_reported(
    registry: Simulator, step: WiringStep, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry.faults.append(Fault("POST", "/v2/.*", 405, times=99))
    assert step.check().state is State.DRIFTED
    monkeypatch.setattr(node_config_step, "PATIENCE", 0.0)
    with pytest.raises(WaitTimeout) as caught:
        step.apply(NoWork())
    assert caught.value.details.startswith("push: ")


def test_a_registry_of_others_takes_the_place_of_our_own(
    engine: FakeEngine, names: Names, server: ApiServer, step: WiringStep, files: Files
) -> None:
    step.apply(NoWork())
    port = step.registry.port
    start(engine, "theirs", port)
    external = wiring(engine, names, external=f"127.0.0.1:{port}")
    assert external.check().state is not State.READY
    assert applied(external).state is State.READY
    assert hosts(files) == {f"127.0.0.1:{port}", "theirs:5000", f"theirs:{port}", IN_CLUSTER}
    said = yaml.safe_load(server.objects[HOSTING]["data"]["localRegistryHosting.v1"])
    assert (said["host"], said["hostFromContainerRuntime"]) == (f"127.0.0.1:{port}", "theirs:5000")
    assert server.objects[SLICE]["endpoints"] == [{"addresses": [engine.boxes["theirs"].address]}]


def test_external_registry_with_account_is_wired_without_canary(
    engine: FakeEngine, names: Names, server: ApiServer, nodes: Nodes
) -> None:
    with Simulator(basic="user:password") as theirs:
        port = urlsplit(theirs.url).port or 0
        start(engine, "theirs", port)
        step = wiring(engine, names, external=f"127.0.0.1:{port}")
        assert applied(step).state is State.READY and "account" in step.check().detail
    assert nodes.pulled == []


def test_external_registry_by_its_own_name_needs_no_service(
    engine: FakeEngine, names: Names, server: ApiServer, registry: Simulator, files: Files
) -> None:
    server.objects |= {SERVICE: {}, SLICE: {"endpoints": [{"addresses": ["10.0.0.9"]}]}}
    # An address that is not loopback and is this machine all the same.
    where = registry.url.replace("127.0.0.1", "0.0.0.0")  # noqa: S104
    step = wiring(engine, names, external=where)
    assert step.check().state is State.DRIFTED
    assert applied(step).state is State.READY
    assert SERVICE not in server.objects and SLICE not in server.objects
    assert all(host.startswith("0.0.0.0:") for host in hosts(files))


TLS_HOSTS = ("hub.demo.localhost", "hub.demo.localhost:8443")
HOSTS_FILE = PurePosixPath("/etc/hosts")
TOML = FOLDER / "hub.demo.localhost:8443" / "hosts.toml"


@pytest.fixture
def tls_step(engine: FakeEngine, names: Names, files: Files) -> TlsRegistryStep:
    def shell(box: FakeContainer, argv: Sequence[str]) -> tuple[int, str]:
        text, _, file = argv[2].rpartition(" >> ")
        box.files[PurePosixPath(file)] += text.removeprefix("echo ").strip("'").encode() + b"\n"
        return 0, ""

    files[HOSTS_FILE] = b"::1\tlocalhost\n"
    engine.programs["sh"] = shell
    return TlsRegistryStep(kind_provider.nodes(engine, names), TLS_HOSTS, INGRESS_PORT)


def test_the_node_knows_the_name_once_and_each_way_to_write_it(files: Files, tls_step: TlsRegistryStep) -> None:
    assert tls_step.check().state is State.ABSENT
    assert applied(tls_step).state is State.READY
    assert files[HOSTS_FILE] == b"::1\tlocalhost\n127.0.0.1 hub.demo.localhost\n"
    url = f"https://hub.demo.localhost:{INGRESS_PORT}"
    said = tomllib.loads(files[TOML].decode())
    assert said == {"server": url, "host": {url: {"capabilities": ["pull", "resolve"], "ca": str(ROOT)}}}
    assert not tls_step.undo()


def test_changed_files_are_put_right_on_every_node(
    names: Names, nodes: Nodes, files: Files, tls_step: TlsRegistryStep
) -> None:
    worker = nodes.add(names, f"{names.cluster}-worker")
    worker.files[HOSTS_FILE] = b""
    tls_step.apply(NoWork())
    before = files[TOML]
    files[TOML] = b"server = 'elsewhere'\n"
    assert (tls_step.check().state, str(TOML) in tls_step.check().detail) == (State.DRIFTED, True)
    tls_step.apply(NoWork())
    assert files[TOML] == worker.files[TOML] == before
    worker.files[HOSTS_FILE] = b"127.0.0.1\tlocalhost\n"  # as after a restart
    assert tls_step.check().detail.endswith(f"/etc/hosts on {names.cluster}-worker")
    assert applied(tls_step).state is State.READY


def test_node_without_hosts_file_is_reported(engine: FakeEngine, tls_step: TlsRegistryStep) -> None:
    tls_step.apply(NoWork())
    engine.programs["cat"] = lambda box, argv: (1, "cat: No such file or directory")
    with pytest.raises(SandboxError, match="/etc/hosts"):
        tls_step.check()


@pytest.fixture
def external_step(engine: FakeEngine, names: Names, registry: Simulator) -> ExternalRegistryStep:
    port = urlsplit(registry.url).port or 0
    start(engine, "theirs", port)
    return ExternalRegistryStep(engine, NETWORK, names, f"localhost:{port}", purge=False)


def start_own(engine: FakeEngine, names: Names) -> None:
    with Simulator() as answering:
        port = urlsplit(answering.url).port or 0
        RegistryStep(
            engine=engine, names=names, image=UPSTREAM["registry"], edge_image=UPSTREAM["haproxy"], port=port
        ).start()


def test_external_registry_that_requires_an_account_is_ready(
    registry: Simulator, external_step: ExternalRegistryStep
) -> None:
    registry.tokens = TokenServer(login="me:secret")
    assert external_step.check().state is State.READY
    external_step.apply(NoWork())
    assert TeamRegistryStep(registry.url, None).check().state is State.READY
    assert registry.tokens.asked and not registry.tokens.given, "not even to ask"


def test_own_registry_is_removed_and_its_data_kept_for_an_external_one(
    engine: FakeEngine, names: Names, external_step: ExternalRegistryStep
) -> None:
    start_own(engine, names)
    assert external_step.check().state is State.DRIFTED
    assert applied(external_step) == Status(State.READY, "answers; nodes go to http://theirs:5000")
    assert (list(engine.boxes), list(engine.volumes)) == (["theirs"], [names.volume])
    assert replace(external_step, purge=True).undo()
    assert engine.volumes == {}


def test_own_registry_stays_while_the_external_one_does_not_answer(engine: FakeEngine, names: Names) -> None:
    start_own(engine, names)
    containers = list(engine.boxes)
    step = ExternalRegistryStep(engine, NETWORK, names, f"127.0.0.1:{free_port()}", purge=False)
    with pytest.raises(RegistryError):
        step.apply(NoWork())
    assert list(engine.boxes) == containers
    engine.remove_container(names.registry)
    assert step.check().state is State.ABSENT


def test_registry_that_nodes_cannot_reach_comes_with_what_to_do(
    engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine.create_network("kind", {})
    start(engine, "theirs", 5001, network="kind")
    with pytest.raises(SandboxError, match="nodes cannot reach") as caught:
        external(engine, NETWORK, "localhost:5001")
    assert caught.value.fix == f"docker network connect {NETWORK} theirs"
    for publisher in (None, "theirs"):  # by UDP
        monkeypatch.setattr(engine, "publisher", lambda _, publisher=publisher: publisher)
        with pytest.raises(SandboxError, match="nodes cannot reach") as caught:
            external(engine, NETWORK, "localhost:5003")
        assert "http://ADDRESS:5003" in caught.value.fix


@pytest.mark.parametrize(
    ("where", "endpoint", "port"),
    [
        ("http://reg.office:5000", "http://reg.office:5000", 5000),
        ("reg.office:5000", "https://reg.office:5000", 5000),
        ("https://reg.office", "https://reg.office", 443),
    ],
)
def test_external_registry_has_one_name_everywhere(engine: FakeEngine, where: str, endpoint: str, port: int) -> None:
    name, there = where.rpartition("://")[2], external(engine, NETWORK, where)
    assert (there.names, there.endpoint, there.pods, there.address) == ((name,), endpoint, name, None)
    assert (there.runtime, there.port) == (name, port)
