"""The registry's container and volume, over an engine in memory, its port answered by a registry in memory."""

from __future__ import annotations

from dataclasses import replace
from urllib.parse import urlsplit

import pytest

from sandbox.bundle.own import UPSTREAM
from sandbox.errors import SandboxError
from sandbox.host.engine import Bind, ContainerSpec
from sandbox.names import NETWORK, REGISTRY_PORT, Names
from sandbox.steps.registry import RegistryStep
from sandbox.steps.step import State
from tests.fakes import FakeEngine, NoWork
from tests.registry_simulator import Fault, Simulator

IMAGE = UPSTREAM["registry"]


class Crashing(FakeEngine):
    """An engine whose containers end at once."""

    def run(self, spec: ContainerSpec) -> None:
        super().run(spec)
        self.boxes[spec.name].running = False
        self.boxes[spec.name].log = "panic: no space left\n"


@pytest.fixture
def step(engine: FakeEngine, names: Names, registry: Simulator) -> RegistryStep:
    return RegistryStep(engine, names, IMAGE, urlsplit(registry.url).port or 0, purge=False)


def test_it_listens_on_this_machine_only_and_keeps_its_data_in_a_volume(
    engine: FakeEngine, names: Names, step: RegistryStep
) -> None:
    assert step.check().state is State.ABSENT
    step.apply(NoWork())
    assert step.check().state is State.READY
    box = engine.boxes[names.registry]
    assert box.spec.publish == {REGISTRY_PORT: (Bind("127.0.0.1", step.port),)}
    assert box.spec.labels == engine.volumes[names.volume] == names.labels
    assert box.spec.volumes == {names.volume: "/var/lib/registry"}
    assert box.spec.environment["REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY"] == "/var/lib/registry"


def test_down_keeps_the_data(engine: FakeEngine, names: Names, step: RegistryStep) -> None:
    step.apply(NoWork())
    assert step.undo()
    assert (list(engine.boxes), list(engine.volumes)) == ([], [names.volume])
    assert not step.undo()
    assert list(engine.volumes) == [names.volume]


def test_a_purge_takes_the_data_too_even_after_an_earlier_down(engine: FakeEngine, step: RegistryStep) -> None:
    purging = replace(step, purge=True)
    assert not purging.undo()
    step.apply(NoWork())
    assert purging.undo()
    assert (engine.boxes, engine.volumes) == ({}, {})
    step.apply(NoWork())
    assert step.undo()
    assert purging.undo()
    assert (engine.boxes, engine.volumes) == ({}, {})


def test_another_sandbox_s_registry_is_left_alone(engine: FakeEngine, names: Names, step: RegistryStep) -> None:
    other = replace(step, names=names.home.sandbox("other"), port=step.port + 1, purge=True)
    engine.create_volume(other.names.volume, other.names.labels)
    step.apply(NoWork())
    assert other.undo()
    assert (list(engine.boxes), list(engine.volumes)) == ([names.registry], [names.volume])


def test_a_stopped_one_is_made_anew_over_the_same_data(engine: FakeEngine, names: Names, step: RegistryStep) -> None:
    step.apply(NoWork())
    engine.signal(names.registry, "SIGTERM")
    assert (step.check().state, step.check().detail) == (State.DRIFTED, "stopped")
    step.apply(NoWork())
    assert step.check().state is State.READY
    assert list(engine.volumes) == [names.volume]


def test_another_image_is_drift(engine: FakeEngine, names: Names, step: RegistryStep) -> None:
    step.apply(NoWork())
    newer = replace(step, image=UPSTREAM["busybox"])
    assert (newer.check().state, newer.check().detail) == (State.DRIFTED, "runs another image")
    newer.apply(NoWork())
    assert newer.check().state is State.READY
    assert engine.boxes[names.registry].image == engine.image_id(UPSTREAM["busybox"])


def test_another_port_is_drift(engine: FakeEngine, names: Names, step: RegistryStep) -> None:
    replace(step, port=step.port).apply(NoWork())
    with Simulator() as second:
        moved = replace(step, port=urlsplit(second.url).port or 0)
        assert moved.check().state is State.DRIFTED
        assert f"127.0.0.1:{moved.port}" in moved.check().detail
        moved.apply(NoWork())
        assert moved.check().state is State.READY
    assert engine.boxes[names.registry].spec.publish == {REGISTRY_PORT: (Bind("127.0.0.1", moved.port),)}


def test_another_network_is_drift(engine: FakeEngine, names: Names, step: RegistryStep) -> None:
    step.apply(NoWork())
    box = engine.boxes[names.registry]
    box.spec = replace(box.spec, network="bridge")
    assert step.check().state is State.DRIFTED
    assert NETWORK in step.check().detail
    step.apply(NoWork())
    assert step.check().state is State.READY


def test_one_that_is_no_registry_is_drift(registry: Simulator, step: RegistryStep) -> None:
    step.apply(NoWork())
    registry.faults.append(Fault("GET", "/v2/$", 404))
    assert step.check().state is State.DRIFTED
    assert step.check().state is State.READY


def test_one_that_does_not_answer_yet_is_waited_for(registry: Simulator, step: RegistryStep) -> None:
    registry.faults.append(Fault("GET", "/v2/$", 404, times=2))
    step.apply(NoWork())
    assert step.check().state is State.READY


def test_one_that_stops_at_once_is_an_error_with_its_last_words(names: Names, step: RegistryStep) -> None:
    engine = Crashing(IMAGE)
    engine.create_network(NETWORK, {})
    with pytest.raises(SandboxError, match="the registry stopped") as caught:
        replace(step, engine=engine).apply(NoWork())
    assert "no space left" in caught.value.details
