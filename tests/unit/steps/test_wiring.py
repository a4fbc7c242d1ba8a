"""The registry joined to a cluster: files on a node in memory, objects in a small API server."""

from __future__ import annotations

from pathlib import PurePosixPath

import pytest
import yaml

from sandbox.bundle.own import UPSTREAM
from sandbox.errors import SandboxError
from sandbox.host.engine import ContainerSpec
from sandbox.names import NETWORK, SYSTEM_NAMESPACE, Names
from sandbox.steps.step import State
from sandbox.steps.wiring import WiringStep
from tests.api_server import ApiServer
from tests.fakes import FakeContainer, FakeEngine, NoWork

HOSTING = "/api/v1/namespaces/kube-public/configmaps/local-registry-hosting"
SLICE = f"/apis/discovery.k8s.io/v1/namespaces/{SYSTEM_NAMESPACE}/endpointslices/registry"
SERVICE = f"/api/v1/namespaces/{SYSTEM_NAMESPACE}/services/registry"
IN_CLUSTER = f"registry.{SYSTEM_NAMESPACE}.svc.cluster.local:5000"


@pytest.fixture
def step(engine: FakeEngine, names: Names, server: ApiServer) -> WiringStep:
    node = ContainerSpec(name=names.node, image=UPSTREAM["node"], command=("init",), labels={}, network=NETWORK)
    engine.add(FakeContainer(node, engine.images[UPSTREAM["node"]], read_only=False))
    start_registry(engine, names)
    return WiringStep(engine, names, 5001)


def start_registry(engine: FakeEngine, names: Names) -> None:
    engine.run(
        ContainerSpec(
            name=names.registry, image=UPSTREAM["registry"], command=("registry",), labels={}, network=NETWORK
        )
    )


def hosts(engine: FakeEngine, names: Names) -> set[str]:
    """The names that the node pulls from the registry."""
    return {path.parent.name for path in engine.boxes[names.node].files if path.name == "hosts.toml"}


def test_nodes_tools_and_pods_learn_of_it(
    engine: FakeEngine, names: Names, server: ApiServer, step: WiringStep
) -> None:
    assert step.check().state is State.ABSENT
    step.apply(NoWork())
    assert step.check().state is State.READY
    assert hosts(engine, names) == {"localhost:5001", f"{names.registry}:5000", IN_CLUSTER}
    assert all(f"http://{names.registry}:5000".encode() in data for data in engine.boxes[names.node].files.values())
    said = yaml.safe_load(server.objects[HOSTING]["data"]["localRegistryHosting.v1"])
    assert (said["host"], said["hostFromClusterNetwork"]) == ("localhost:5001", IN_CLUSTER)
    assert server.objects[SLICE]["endpoints"] == [{"addresses": [engine.boxes[names.registry].address]}]
    assert server.objects[SERVICE]["spec"]["ports"] == [{"name": "http", "port": 5000}]


def test_it_goes_with_the_cluster(step: WiringStep) -> None:
    step.apply(NoWork())
    assert not step.undo()
    assert step.check().state is State.READY


@pytest.mark.parametrize("path", [HOSTING, SERVICE, SLICE])
def test_what_is_gone_from_the_cluster_is_put_back(server: ApiServer, step: WiringStep, path: str) -> None:
    step.apply(NoWork())
    before = server.objects.pop(path)
    assert step.check().state is State.DRIFTED
    step.apply(NoWork())
    assert step.check().state is State.READY
    assert server.objects[path] == before


@pytest.mark.parametrize("content", [None, b"server = 'elsewhere'\n"])
def test_what_changed_on_the_node_is_put_back(
    engine: FakeEngine, names: Names, step: WiringStep, content: bytes | None
) -> None:
    step.apply(NoWork())
    files = engine.boxes[names.node].files
    path = PurePosixPath("/etc/containerd/certs.d/localhost:5001/hosts.toml")
    before = files.pop(path)
    if content is not None:
        files[path] = content
    assert step.check().state is (State.ABSENT if content is None else State.DRIFTED)
    assert str(path) in step.check().detail
    step.apply(NoWork())
    assert step.check().state is State.READY
    assert files[path] == before


def test_a_registry_that_came_back_elsewhere_is_found_again(
    engine: FakeEngine, names: Names, server: ApiServer, step: WiringStep
) -> None:
    step.apply(NoWork())
    engine.remove_container(names.registry)
    guest = ContainerSpec(name="guest", image=UPSTREAM["busybox"], command=("sleep",), labels={}, network=NETWORK)
    engine.run(guest)
    start_registry(engine, names)
    assert (step.check().state, step.check().detail) == (State.DRIFTED, "the registry's address")
    step.apply(NoWork())
    assert server.objects[SLICE]["endpoints"] == [{"addresses": [engine.boxes[names.registry].address]}]


def test_without_a_registry_it_says_what_to_do(engine: FakeEngine, names: Names, step: WiringStep) -> None:
    step.apply(NoWork())
    engine.remove_container(names.registry)
    with pytest.raises(SandboxError, match="has no address") as caught:
        step.check()
    assert caught.value.fix == "sandbox up"
