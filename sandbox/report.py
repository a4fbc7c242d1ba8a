"""How the walk over a plan tells people what it does, so that steps never print."""

from __future__ import annotations

from typing import Protocol


class Reporter(Protocol):
    """Receives what happens to each step; calls may come from several threads at once."""

    def began(self, step: str) -> None:
        """Work on `step` starts."""

    def progress(self, step: str, detail: str) -> None:
        """`step` is still being worked on; `detail` is its newest line."""

    def finished(self, step: str, detail: str, seconds: float) -> None:
        """`step` was made or repaired."""

    def unchanged(self, step: str, detail: str) -> None:
        """`step` was found as the spec wants it."""

    def failed(self, step: str, brief: str) -> None:
        """`step` could not be made or taken away."""

    def interrupted(self, step: str) -> None:
        """Work on `step` has ended before its time, since the command was told to end."""

    def stopped(self, step: str, seconds: float) -> None:
        """`step` rests."""

    def removed(self, step: str, seconds: float) -> None:
        """`step` was taken away."""


class Silent:
    """A Reporter that says nothing."""

    def began(self, step: str) -> None: ...

    def progress(self, step: str, detail: str) -> None: ...

    def finished(self, step: str, detail: str, seconds: float) -> None: ...

    def unchanged(self, step: str, detail: str) -> None: ...

    def failed(self, step: str, brief: str) -> None: ...

    def interrupted(self, step: str) -> None: ...

    def stopped(self, step: str, seconds: float) -> None: ...

    def removed(self, step: str, seconds: float) -> None: ...
