"""A sandbox broken at every moment of every step, on a machine in memory: the next command always finishes the work."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from sandbox.errors import SandboxError
from tests.support.failpoint import Failpoint
from tests.support.fakes import RecordingReporter
from tests.support.small_world import SmallWorld, small_world
from tests.support.stateful import Sandboxes, World

# The first calls of a step mostly ask and read; later ones change something.
MOMENTS = (("before", 1), ("during", 1), ("during", 4), ("during", 9), ("after", 1))


@pytest.fixture
def world() -> Iterator[SmallWorld]:
    with closing(small_world()) as world:
        yield world


@pytest.mark.fault(8)
def test_kill_at_any_moment_of_any_step_is_finished_by_next_up(world: SmallWorld) -> None:
    """Killed before, in the middle of and after every step of `up` → the next finishes, another changes nothing."""
    foreign = world.foreign()
    broken, began = set[str](), set[str]()
    plan = world.plan()
    for count, step in enumerate(plan, start=1):
        for moment, call in MOMENTS:
            report = RecordingReporter()
            point = Failpoint(step=step.name, moment=moment, action="raise", call=call)
            try:  # no further than this step, for what does not need it would be made meanwhile
                world.walk(plan[:count], point, keep=True, report=report)
            except SandboxError as error:
                assert error.id == "failpoint"
                broken.add(step.title)
            began |= set(report.of("began"))
    assert broken == began, "every step that does anything was broken in the middle of it"
    world.bring_up()
    assert not world.bring_up()
    world.take_down(purge=True)
    assert (world.left(), world.foreign()) == (set(), foreign)


@pytest.mark.fault(5, 65)
def test_down_interrupted_anywhere_is_finished_by_the_next(world: SmallWorld) -> None:
    """Ctrl-C before, in the middle of and after every step of `down` → the next `down --purge` leaves nothing."""
    foreign = world.foreign()
    world.bring_up()
    for step in reversed(world.plan()):
        for moment, call in MOMENTS:
            with pytest.raises(KeyboardInterrupt):
                world.take_down(Failpoint(step=step.name, moment=moment, action="interrupt", call=call), purge=True)
    world.take_down(purge=True)
    assert (world.left(), world.foreign()) == (set(), foreign)
    world.take_down(purge=True)


@pytest.mark.fault(5, 16)
@pytest.mark.parametrize("action", ["raise", "enospc", "interrupt"])
@pytest.mark.parametrize("step", ["registry", "cluster", "context", "edge", "ingress"])
def test_failure_or_interrupt_rolls_back_what_was_begun(world: SmallWorld, step: str, action: str) -> None:
    """An error, a full disk or Ctrl-C in the middle of a step → what this `up` made is gone, but for data."""
    foreign = world.foreign()
    with pytest.raises((SandboxError, OSError, KeyboardInterrupt)):
        world.bring_up(Failpoint(step=step, moment="during", action=action))
    data = {"volume sandbox-demo-registry", str(world.names.keys)}
    assert world.left() <= data
    assert world.foreign() == foreign


@pytest.mark.fault(8, 20, 27, 59, 65)
def test_whatever_happens_up_repairs_and_down_leaves_nothing() -> None:
    """Kills, removals, edits and engine restarts in any order → `up` repairs, `down` leaves nothing."""

    class OfThisMachine(Sandboxes):
        def new_world(self) -> World:
            return small_world()

    bounds = settings(
        max_examples=3, stateful_step_count=5, deadline=None, suppress_health_check=list(HealthCheck), database=None
    )
    run_state_machine_as_test(OfThisMachine, settings=bounds)
