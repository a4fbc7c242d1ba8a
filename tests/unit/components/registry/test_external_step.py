"""A registry of another user in the place of the sandbox's own, and its addresses for nodes."""

from __future__ import annotations

from dataclasses import replace
from urllib.parse import urlsplit

import pytest

from sandbox.bundle.system_images import UPSTREAM
from sandbox.components.registry.container_step import RegistryStep
from sandbox.components.registry.external_step import ExternalRegistryStep, TeamRegistryStep, external
from sandbox.engine import Bind, ContainerSpec
from sandbox.errors import SandboxError
from sandbox.names import Names
from sandbox.oci.oci_errors import RegistryError
from sandbox.step import State, Status
from tests.support.fakes import NETWORK, FakeEngine, NoWork, applied
from tests.support.ports import free_port
from tests.support.registry_simulator import Simulator
from tests.support.token_server import TokenServer

IMAGE = UPSTREAM["registry"]


def start_theirs(engine: FakeEngine, port: int, network: str = NETWORK) -> None:
    """Start another user's registry in a container, published on this machine."""
    publish = {80: (Bind("127.0.0.1", port),)}
    engine.run(
        ContainerSpec(name="theirs", image=IMAGE, command=("registry",), labels={}, network=network, publish=publish)
    )


@pytest.fixture
def step(engine: FakeEngine, names: Names, registry: Simulator) -> ExternalRegistryStep:
    port = urlsplit(registry.url).port or 0
    start_theirs(engine, port)
    return ExternalRegistryStep(engine, NETWORK, names, f"localhost:{port}", purge=False)


def start_own(engine: FakeEngine, names: Names) -> None:
    with Simulator() as answering:
        port = urlsplit(answering.url).port or 0
        RegistryStep(engine=engine, names=names, image=IMAGE, edge_image=UPSTREAM["haproxy"], port=port).start()


def test_external_registry_that_requires_an_account_is_ready(
    engine: FakeEngine, registry: Simulator, step: ExternalRegistryStep
) -> None:
    registry.tokens = TokenServer(login="me:secret")
    assert step.check().state is State.READY
    step.apply(NoWork())
    assert TeamRegistryStep(registry.url, None).check().state is State.READY
    assert registry.tokens.asked and not registry.tokens.given, "not even to ask"


def test_our_own_goes_and_its_data_stays(engine: FakeEngine, names: Names, step: ExternalRegistryStep) -> None:
    start_own(engine, names)
    assert step.check().state is State.DRIFTED
    assert applied(step) == Status(State.READY, "answers; nodes go to http://theirs:80")
    assert (list(engine.boxes), list(engine.volumes)) == (["theirs"], [names.volume])
    assert replace(step, purge=True).undo()
    assert engine.volumes == {}


def test_our_own_stays_where_the_other_does_not_answer(engine: FakeEngine, names: Names) -> None:
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
    start_theirs(engine, 5001, network="kind")
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
