"""Whatever happens to a sandbox, in any order: nothing foreign is touched, `up` repairs, `down` leaves nothing."""

from __future__ import annotations

import contextlib
from contextlib import ExitStack

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from sandbox.errors import SandboxError
from tests.support.failpoint import Failpoint
from tests.support.small_world import SmallWorld, small_world
from tests.support.stateful import Sandboxes, World

EDITS: dict[str, dict[str, object]] = {
    "ports": {"edge": {"ports": (9443,)}},
    "domain": {"domain": "other.sandbox.localhost"},
    "nameservers": {"network": {"nameservers": ("1.1.1.1",)}},
    "no ingress": {"ingress": {"controller": "none"}},
    "mirrors": {"registry": {"mirrors": ("quay.io",)}},
    "nothing": {},
}


class InMemory(World):
    """The machine in memory."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._world: SmallWorld = self._stack.enter_context(small_world())

    @property
    def edits(self) -> tuple[str, ...]:
        return tuple(EDITS)

    def steps(self) -> list[str]:
        return [step.name for step in self._world.plan()]

    def bring_up(self) -> bool:
        return self._world.up()

    def take_down(self, *, purge: bool) -> None:
        self._world.down(purge=purge)

    def kill(self, command: str, point: Failpoint) -> None:
        dies = Failpoint(
            step=point.step, moment=point.moment, action="interrupt" if command == "down" else "raise", call=point.call
        )
        with contextlib.suppress(KeyboardInterrupt, SandboxError):
            if command == "up":
                self._world.up(dies, keep=True)
            else:
                self._world.down(dies)

    def remove(self, part: str) -> None:
        self._world.remove(part)

    def edit(self, what: str) -> None:
        self._world.change(EDITS[what])

    def restart_engine(self) -> None:
        self._world.restart_engine()

    def foreign(self) -> object:
        return self._world.foreign()

    def left(self) -> set[str]:
        return self._world.left()

    def close(self) -> None:
        self._stack.close()


@pytest.mark.fault(8, 20, 27, 59, 65)
def test_whatever_happens_up_repairs_and_down_leaves_nothing() -> None:
    """Kills, removals, edits and engine restarts in any order → `up` repairs, `down` leaves nothing."""

    class OfThisMachine(Sandboxes):
        def new_world(self) -> World:
            return InMemory()

    bounds = settings(
        max_examples=3, stateful_step_count=5, deadline=None, suppress_health_check=list(HealthCheck), database=None
    )
    run_state_machine_as_test(OfThisMachine, settings=bounds)
