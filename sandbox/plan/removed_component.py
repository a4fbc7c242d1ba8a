"""What an earlier spec of this sandbox had in a step's place: there as long as it is left, and then no more."""

from __future__ import annotations

from dataclasses import dataclass

from sandbox.step import State, Status, Step, Work


@dataclass(frozen=True)
class DisplacedStep:
    """Made by taking `step` away, as the spec now wants another in its place."""

    step: Step
    name: str = "displaced"
    requires: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        return f"No {self.step.title}"

    def check(self) -> Status:
        absent = self.step.check().state is State.ABSENT
        return Status(State.READY) if absent else Status(State.DRIFTED, "an earlier spec asked for it")

    def apply(self, work: Work) -> None:
        self.step.undo()

    def undo(self) -> bool:
        return self.step.undo()
