"""What a push tells while it runs and when it ends; it prints nothing itself."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from sandbox.errors import SandboxError


class Action(Enum):
    """What it took to have an image in the registry.

    SKIPPED: nothing, it was there under its tag. MOUNTED: no blob had to cross, they were there or in another
    repository. UPLOADED: at least one blob was sent.
    """

    SKIPPED = "skipped"
    MOUNTED = "mounted"
    UPLOADED = "uploaded"


@dataclass(frozen=True)
class Result:
    """One image that is in the registry, whole.

    `size` is the number of bytes of blobs sent for it; a blob shared by several images counts for the first of them.
    `seconds` run from the start of the push to its tag. `digest` is what the tag names.
    """

    target: str
    digest: str
    action: Action
    size: int
    seconds: float
    notes: tuple[str, ...] = ()


class Observer(Protocol):
    """Hears of a push's progress; calls come from several threads at once."""

    def planned(self, images: int, blobs: int, size: int) -> None:
        """The plan is made: so many images, which need so many different blobs of `size` bytes together."""

    def sent(self, size: int) -> None:
        """So many more bytes are on their way into the registry; a broken try counts too."""

    def finished(self, result: Result) -> None:
        """An image is in the registry."""

    def failed(self, target: str, error: SandboxError) -> None:
        """An image could not be pushed."""


class Silent:
    """An Observer that says nothing."""

    def planned(self, images: int, blobs: int, size: int) -> None: ...

    def sent(self, size: int) -> None: ...

    def finished(self, result: Result) -> None: ...

    def failed(self, target: str, error: SandboxError) -> None: ...
