"""What every part of a sandbox can do: be looked at, be made so, be taken away."""

from __future__ import annotations

import enum
from collections.abc import Container, Sequence
from typing import Protocol, runtime_checkable

from sandbox.fast_dataclass import dataclass


class State(enum.Enum):
    """How a part of a sandbox stands against its spec.

    DRIFTED can be repaired in place. STALE cannot: only another in its place would be as the spec says. UNSEEN was not
    looked at, as it can only be seen through what is not ready itself.
    """

    ABSENT = "absent"
    READY = "ready"
    DRIFTED = "drifted"
    STALE = "stale"
    UNSEEN = "unseen"


@dataclass(frozen=True)
class Status:
    """What a look at a step found; `detail` is for people, as is `loses`: what goes when a STALE step is rebuilt."""

    state: State
    detail: str = ""
    loses: str = ""


class Work(Protocol):
    """What a step is given while it is made, to tell how far it is."""

    def say(self, line: str) -> None:
        """Show a line of progress."""

    def usable(self) -> None:
        """Let steps that need this one begin before it has finished; call it once at most."""


class Step(Protocol):
    """One part of a sandbox. Its fields are all it needs; nothing flows from step to step but the world itself."""

    @property
    def name(self) -> str:
        """Return a short word for this step, as used in `requires` and on the command line."""

    @property
    def title(self) -> str:
        """Return what people read while it is made."""

    @property
    def requires(self) -> tuple[str, ...]:
        """Return the steps that must be ready before this one is checked or made; each has to be in the plan."""

    def check(self) -> Status:
        """Look, never touch."""

    def apply(self, work: Work) -> Status | None:
        """Make it as the spec says, and wait until it is; safe to repeat.

        What it has just seen for itself is how it stands, and is not checked again.
        """

    def undo(self) -> bool:
        """Take away what carries our name; returns whether there was anything to take away."""


class NothingToUndo:
    """A step that has nothing to take away itself: what it made goes with the cluster, or it made nothing."""

    def undo(self) -> bool:
        """Take nothing away; returns False."""
        return False


@runtime_checkable
class Ordered(Step, Protocol):
    """A step that comes after others where the plan has them."""

    @property
    def after(self) -> tuple[str, ...]:
        """Return the steps that must be ready before this one, as far as they are in the plan."""


@runtime_checkable
class Stoppable(Step, Protocol):
    """A step that uses memory and processor time, and need not; `apply` starts it again."""

    def stop(self) -> bool:
        """Let it rest and keep what it holds; returns whether it ran."""


@runtime_checkable
class Rebuildable(Step, Protocol):
    """A step that can be STALE."""

    def rebuild(self, work: Work) -> Status | None:
        """Make it again in place of the one that is there, which goes with all it holds."""


def needed(step: Step, names: Container[str]) -> tuple[str, ...]:
    """Return the steps among `names` that must be ready before `step`."""
    after: tuple[str, ...] = getattr(step, "after", ())  # faster than to compare all of the protocol
    return tuple(dict.fromkeys(name for name in (*step.requires, *after) if name in names))


def checked(plan: Sequence[Step]) -> tuple[Step, ...]:
    """Return the plan, in which every step has a name of its own and comes after those that it is to come after.

    The walk takes steps away in the reverse order. Raises ValueError for a plan that a change of the code broke.
    """
    names = [step.name for step in plan]
    for index, step in enumerate(plan):
        if step.name in names[:index]:
            raise ValueError(f"two steps are called '{step.name}'")
        if unknown := set(step.requires) - set(names):
            raise ValueError(f"the step '{step.name}' requires {sorted(unknown)}, which the plan does not have")
        if late := set(needed(step, names)) - set(names[:index]):
            raise ValueError(f"the step '{step.name}' comes before {sorted(late)}, which it is to come after")
    return tuple(plan)
