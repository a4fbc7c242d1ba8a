"""The progress and results that a push reports; it prints nothing itself."""

import threading
from dataclasses import dataclass, field
from enum import Enum

from sandbox.errors import SandboxError
from sandbox.system import interruption


class Action(Enum):
    """How an image came to the registry.

    SKIPPED: its tag existed. MOUNTED: no blob was sent, the registry had all of them. UPLOADED: at least one was sent.
    """

    SKIPPED = "skipped"
    MOUNTED = "mounted"
    UPLOADED = "uploaded"


@dataclass(frozen=True)
class Result:
    """An image that is in the registry, complete.

    `blobs` is the number of blobs sent for it, `size` of bytes; what several images share counts for the first of them.
    `unique` counts each of these blobs once, however often it had to be sent. `seconds` run from the start of the push
    until the image has its tag. `source` is the image's digest where it was read. `platforms` were chosen from
    an image for several platforms.
    """

    target: str
    digest: str
    action: Action
    size: int
    seconds: float
    notes: tuple[str, ...] = ()
    blobs: int = 0
    unique: int = 0
    source: str = ""
    platforms: tuple[str, ...] = ()


class Observer:
    def building(self, target: str) -> None:
        pass

    def noted(self, line: str) -> None:
        pass

    def planned(self, images: int, blobs: int, size: int) -> None:
        pass

    def sent(self, size: int) -> None:
        """Report that so many more bytes are sent to the registry; a failed try counts too."""

    def spared(self, size: int) -> None:
        """Report that so many bytes of the plan need not be sent."""

    def finished(self, result: Result) -> None:
        pass

    def failed(self, target: str, error: SandboxError) -> None:
        pass


@dataclass
class Ending:
    """Ends uploads at their next piece once the run is over or the command interrupted; `observer` gets the progress.

    The registry never commits an upload that ends in the middle.
    """

    observer: Observer
    _over: threading.Event = field(default_factory=threading.Event)

    def end(self) -> None:
        self._over.set()

    def check(self) -> None:
        interruption.check()
        if self._over.is_set():
            raise interruption.Interrupted

    def sent(self, size: int) -> None:
        self.check()
        self.observer.sent(size)
