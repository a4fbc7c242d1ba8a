"""How the walk over a plan reports what it does, so that steps never print."""

from typing import Literal

StepEvent = Literal["began", "progress", "finished", "unchanged", "failed", "interrupted", "stopped", "removed"]


class Reporter:
    """Receives what happens to each step, from several threads at once; this one shows nothing."""

    def event(self, event: StepEvent, step: str, detail: str = "", seconds: float | None = None) -> None:
        """Receive an event; `detail` is the newest line of progress or the result, `seconds` how long the work took."""


def result(event: str, detail: str, seconds: float | None) -> tuple[str, str]:
    """Return how the end of a step reads: how it ended or how long it took, and the detail."""
    if event in ("stopped", "removed"):
        detail = event
    return (event if seconds is None else f"{seconds:.1f} s"), detail
