"""How the walk over a plan reports what it does, so that steps never print."""

from __future__ import annotations

from typing import Protocol


class Reporter(Protocol):
    """Receives what happens to each step; calls may come from several threads at once."""

    def began(self, step: str) -> None:
        """Report that work on `step` begins."""

    def progress(self, step: str, detail: str) -> None:
        """Report that `step` is still being worked on; `detail` is its newest line."""

    def finished(self, step: str, detail: str, seconds: float) -> None:
        """Report that `step` was created or repaired."""

    def unchanged(self, step: str, detail: str) -> None:
        """Report that `step` was already as the spec wants it."""

    def failed(self, step: str, brief: str) -> None:
        """Report that `step` could not be created or removed."""

    def interrupted(self, step: str) -> None:
        """Report that `step` was interrupted, because the command was told to end."""

    def stopped(self, step: str, seconds: float) -> None:
        """Report that `step` was stopped, after so many seconds."""

    def removed(self, step: str, seconds: float) -> None:
        """Report that `step` was removed, after so many seconds."""


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
