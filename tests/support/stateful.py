"""What may happen to a sandbox, in any order, and what must hold: for a machine in memory and for a real one."""

from __future__ import annotations

from typing import Protocol

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tests.support.failpoint import Failpoint

PARTS = ("registry", "edge", "node", "network", "context")


class World(Protocol):
    """A machine with things of another user's on it, and at most one sandbox."""

    @property
    def edits(self) -> tuple[str, ...]:
        """The changes to the spec that `edit` knows."""

    def steps(self) -> list[str]:
        """The names of the plan's steps."""

    def bring_up(self) -> bool:
        """Run `up` to its end; whether it changed anything."""

    def take_down(self, *, purge: bool) -> None:
        """Run `down` to its end."""

    def kill(self, command: str, point: Failpoint) -> None:
        """Run `up` or `down`, and kill it at the point if it comes there."""

    def remove(self, part: str) -> None:
        """Take something away behind the sandbox's back, if it is there and can be taken."""

    def edit(self, what: str) -> None:
        """Change the spec."""

    def restart_engine(self) -> None:
        """Restart the Docker Engine."""

    def foreign(self) -> object:
        """All that is not ours, to be compared."""

    def left(self) -> set[str]:
        """All that is ours and still there."""

    def close(self) -> None:
        """Leave the machine."""


class Sandboxes(RuleBasedStateMachine):
    def new_world(self) -> World:
        raise NotImplementedError

    @initialize()
    def begin(self) -> None:
        self.world = self.new_world()
        self.before = self.world.foreign()
        self.is_up = self.is_restarted = False

    @rule()
    def up(self) -> None:
        self.world.bring_up()
        assert not self.world.bring_up(), "a second `up` changes nothing"
        self.is_up, self.is_restarted = True, False

    @rule(purge=st.booleans())
    def down(self, purge: bool) -> None:
        self.world.take_down(purge=purge)
        self.is_up = False
        if purge:
            assert self.world.left() == set()

    @rule(command=st.sampled_from(("up", "up", "down")), data=st.data())
    def killed(self, command: str, data: st.DataObject) -> None:
        step = data.draw(st.sampled_from(self.world.steps()))
        moment = data.draw(st.sampled_from(("before", "during", "after")))
        self.world.kill(command, Failpoint(step=step, moment=moment, action="kill", call=data.draw(st.integers(1, 6))))

    @precondition(lambda self: self.is_up)
    @rule(part=st.sampled_from(PARTS))
    def removed(self, part: str) -> None:
        self.world.remove(part)

    @rule(data=st.data())
    def edited(self, data: st.DataObject) -> None:
        self.world.edit(data.draw(st.sampled_from(self.world.edits)))

    @precondition(lambda self: self.is_up and not self.is_restarted)
    @rule()
    def engine_restarted(self) -> None:
        self.world.restart_engine()
        self.is_restarted = True

    @invariant()
    def nothing_foreign_was_touched(self) -> None:
        if hasattr(self, "world"):
            assert self.world.foreign() == self.before

    def teardown(self) -> None:
        if hasattr(self, "world"):
            self.world.take_down(purge=True)
            left, foreign = self.world.left(), self.world.foreign()
            self.world.close()
            assert (left, foreign) == (set(), self.before)
