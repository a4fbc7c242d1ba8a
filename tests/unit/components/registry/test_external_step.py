"""A registry of another user in the place of the sandbox's own."""

from __future__ import annotations

from dataclasses import replace
from urllib.parse import urlsplit

import pytest

from sandbox.bundle.system_images import UPSTREAM
from sandbox.components.registry.container_step import RegistryStep
from sandbox.components.registry.external_step import ExternalRegistryStep, TeamRegistryStep
from sandbox.engine import Bind, ContainerSpec
from sandbox.names import Names
from sandbox.oci.oci_errors import RegistryError
from sandbox.step import State
from tests.support.fakes import NETWORK, FakeEngine, NoWork
from tests.support.ports import free_port
from tests.support.registry_simulator import Simulator
from tests.support.token_server import TokenServer

IMAGE = UPSTREAM["registry"]


@pytest.fixture
def port(engine: FakeEngine, registry: Simulator) -> int:
    """Where another user's registry is: in a container on the nodes' network, published on this machine."""
    port = urlsplit(registry.url).port or 0
    publish = {5000: (Bind("127.0.0.1", port),)}
    engine.run(
        ContainerSpec(name="theirs", image=IMAGE, command=("registry",), labels={}, network=NETWORK, publish=publish)
    )
    return port


@pytest.fixture
def step(engine: FakeEngine, names: Names, port: int) -> ExternalRegistryStep:
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
    step.apply(NoWork())
    assert step.check().state is State.READY
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
