"""How the walk over a plan reports what it does, so that steps never print."""


class Reporter:
    """Receives what happens to each step, from several threads at once; `event` gets every call."""

    def event(self, event: str, step: str, detail: str = "", seconds: float | None = None) -> None:
        """Receive an event by the name of its method; `seconds` is how long the work took."""

    def began(self, step: str) -> None:
        self.event("began", step)

    def progress(self, step: str, detail: str) -> None:
        """Report that `step` is still being worked on; `detail` is its newest line."""
        self.event("progress", step, detail)

    def finished(self, step: str, detail: str, seconds: float) -> None:
        self.event("finished", step, detail, seconds)

    def unchanged(self, step: str, detail: str) -> None:
        self.event("unchanged", step, detail)

    def failed(self, step: str, brief: str) -> None:
        self.event("failed", step, brief)

    def interrupted(self, step: str) -> None:
        self.event("interrupted", step)

    def stopped(self, step: str, seconds: float) -> None:
        self.event("stopped", step, seconds=seconds)

    def removed(self, step: str, seconds: float) -> None:
        self.event("removed", step, seconds=seconds)


class Silent(Reporter):
    """A Reporter that shows nothing."""


def result(event: str, detail: str, seconds: float | None) -> tuple[str, str]:
    """Return how the end of a step reads: how it ended or how long it took, and the detail."""
    if event in ("stopped", "removed"):
        detail = event
    return (event if seconds is None else f"{seconds:.1f} s"), detail
