"""How the walk over a plan reports what it does, so that steps never print."""

from __future__ import annotations

from typing import Protocol


class Reporter(Protocol):
    """Receives what happens to each step; calls may come from several threads at once."""

    def began(self, step: str) -> None:
        """Work on `step` starts."""

    def progress(self, step: str, detail: str) -> None:
        """`step` is still being worked on; `detail` is its newest line."""

    def finished(self, step: str, detail: str, seconds: float) -> None:
        """`step` was created or repaired."""

    def unchanged(self, step: str, detail: str) -> None:
        """`step` was already as the spec wants it."""

    def failed(self, step: str, brief: str) -> None:
        """`step` could not be created or removed."""

    def interrupted(self, step: str) -> None:
        """`step` was interrupted, because the command was told to end."""

    def stopped(self, step: str, seconds: float) -> None:
        """`step` was stopped."""

    def removed(self, step: str, seconds: float) -> None:
        """`step` was removed."""


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
