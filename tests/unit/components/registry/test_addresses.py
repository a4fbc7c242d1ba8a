"""Where a registry is for whom: the sandbox's own, one in a container of others, one elsewhere."""

from __future__ import annotations

import pytest

from sandbox.bundle.system_images import UPSTREAM
from sandbox.components.registry import external_step
from sandbox.engine import Bind, ContainerSpec
from sandbox.errors import SandboxError
from sandbox.names import SYSTEM_NAMESPACE, Names
from tests.support.fakes import NETWORK, FakeEngine

PODS = f"registry.{SYSTEM_NAMESPACE}.svc.cluster.local"


def start(engine: FakeEngine, name: str, *, network: str = NETWORK, port: int = 5001, inner: int = 5000) -> None:
    if network not in engine.networks:
        engine.create_network(network, {})
    publish = {inner: (Bind("127.0.0.1", port),)}
    image = UPSTREAM["registry"]
    engine.run(
        ContainerSpec(name=name, image=image, command=("registry",), labels={}, network=network, publish=publish)
    )


def test_our_own(engine: FakeEngine, names: Names) -> None:
    start(engine, names.registry)
    there = external_step.own(engine, NETWORK, names, "localhost:5001")
    assert there.names == ("localhost:5001", f"{names.registry}:5000", f"{PODS}:5000", f"{names.registry}:5001")
    assert (there.endpoint, there.pods) == (f"http://{names.registry}:5000", f"{PODS}:5000")
    assert (there.address, there.port) == (engine.boxes[names.registry].address, 5000)


def test_external_container_is_found_by_port_and_used_by_name(engine: FakeEngine) -> None:
    start(engine, "kind-registry", port=5009, inner=80)
    there = external_step.external(engine, NETWORK, "localhost:5009")
    assert there.names == ("localhost:5009", "kind-registry:80", f"{PODS}:80", "kind-registry:5009")
    assert (there.endpoint, there.runtime, there.port) == ("http://kind-registry:80", "kind-registry:80", 80)
    assert there.address == engine.boxes["kind-registry"].address


def test_registry_that_nodes_cannot_reach_comes_with_what_to_do(
    engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    start(engine, "kind-registry", network="kind")
    with pytest.raises(SandboxError, match="nodes cannot reach") as caught:
        external_step.external(engine, NETWORK, "localhost:5001")
    assert caught.value.fix == f"docker network connect {NETWORK} kind-registry"
    with pytest.raises(SandboxError, match="nodes cannot reach") as caught:
        external_step.external(engine, NETWORK, "127.0.0.1:5003")
    assert "http://ADDRESS:5003" in caught.value.fix
    monkeypatch.setattr(engine, "publisher", lambda _: "kind-registry")  # by UDP
    with pytest.raises(SandboxError, match="nodes cannot reach") as caught:
        external_step.external(engine, NETWORK, "localhost:5003")
    assert "http://ADDRESS:5003" in caught.value.fix


@pytest.mark.parametrize(
    ("where", "name", "endpoint", "port"),
    [
        ("http://reg.office:5000", "reg.office:5000", "http://reg.office:5000", 5000),
        ("reg.office:5000", "reg.office:5000", "https://reg.office:5000", 5000),
        ("https://reg.office", "reg.office", "https://reg.office", 443),
    ],
)
def test_external_registry_has_one_name_everywhere(
    engine: FakeEngine, where: str, name: str, endpoint: str, port: int
) -> None:
    there = external_step.external(engine, NETWORK, where)
    assert (there.names, there.endpoint, there.pods, there.address) == ((name,), endpoint, name, None)
    assert (there.runtime, there.port) == (name, port)
