"""What every step of a plan can do: check, apply and undo its part of a sandbox."""

import enum
from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from sandbox.errors import SandboxError


class State(enum.Enum):
    """The state of a part of a sandbox, compared with its spec.

    DRIFTED can be repaired in place. STALE cannot: only a new one in its place would match the spec. UNSEEN was not
    checked, because it can only be seen through another part that is not ready.
    """

    ABSENT = "absent"
    READY = "ready"
    DRIFTED = "drifted"
    STALE = "stale"
    UNSEEN = "unseen"


@dataclass(frozen=True)
class Status:
    """The result of a check; `detail` and `loses` are for people.

    `loses` is what is deleted when a STALE step is recreated.
    """

    state: State
    detail: str = ""
    loses: str = ""


class Overtaken(SandboxError):
    """What a step brings is not waited for, because what it is made from has changed meanwhile."""


class Work(Protocol):
    def say(self, line: str) -> None: ...

    def usable(self) -> None:
        """Let the steps that need this one begin before it has finished; call it once at most."""


@dataclass(frozen=True)
class Progress:
    """Work that passes progress on; `usable` does nothing where no other step waits."""

    say: Callable[[str], None]
    usable: Callable[[], None] = lambda: None


class Step(Protocol):
    """One part of a sandbox. Its fields are all it needs; nothing is passed from step to step."""

    @property
    def name(self) -> str: ...

    @property
    def title(self) -> str: ...

    @property
    def requires(self) -> tuple[str, ...]:
        """Return the steps that must be ready before this one is checked or made; each has to be in the plan."""

    def check(self) -> Status:
        """Compare it with the spec; change nothing."""

    def apply(self, work: Work) -> Status | None:
        """Make it as the spec says, and wait until it is; safe to repeat.

        Returns the state where it has just been seen, which then is not checked again.
        """

    def undo(self) -> bool:
        """Remove what carries the sandbox's labels; returns whether there was anything to remove."""


class NothingToUndo:
    """A step with nothing to remove: what it made goes with the cluster, or it made nothing."""

    def undo(self) -> bool:
        return False


@runtime_checkable
class Growing(Step, Protocol):
    """A step that has a part on every node: it is looked at again when all nodes have joined."""

    @property
    def grows(self) -> bool: ...


@runtime_checkable
class Refreshing(Step, Protocol):
    """A step whose content follows what users change in the cluster, which is no drift."""

    def refresh(self) -> None:
        """Update it; `up` does this when the step is ready."""


@runtime_checkable
class Stoppable(Step, Protocol):
    """A step that uses memory and processor time, and can be stopped; `apply` starts it again."""

    def stop(self) -> bool:
        """Stop it and keep its data; returns whether it ran."""


@runtime_checkable
class Revocable(Step, Protocol):
    """A step that keeps something in the cluster: when an `up` is rolled back, the cluster may stay."""

    def revoke(self) -> bool:
        """Remove what it made, from the cluster too; returns whether there was anything to remove."""


@runtime_checkable
class Rebuildable(Step, Protocol):
    """A step that can be STALE."""

    def rebuild(self, work: Work) -> Status | None:
        """Replace what is there by a new one; its data is lost."""


def needed(step: Step, names: Container[str]) -> tuple[str, ...]:
    """Return the steps among `names` that must be ready before `step`.

    A step may have a field `after`: steps that it follows as far as they are in the plan.
    """
    after: tuple[str, ...] = getattr(step, "after", ())
    return tuple(dict.fromkeys(name for name in (*step.requires, *after) if name in names))


def checked(plan: Sequence[Step]) -> tuple[Step, ...]:
    """Return the plan, once it is certain that names are unique and that each step comes after those it needs.

    The walk removes steps in the reverse order. Raises ValueError for a plan that a change of the code broke.
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
