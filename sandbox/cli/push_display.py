"""The progress of a push on stderr: lines for people, JSON lines for programs, a live display, or nothing."""

from __future__ import annotations

import sys
import threading
import time
from typing import TYPE_CHECKING, Self, TextIO

from sandbox.cli.output import Events, Lines, is_lively
from sandbox.images.progress import Observer
from sandbox.quantities import count, megabytes
from sandbox.sanitize import fit

if TYPE_CHECKING:
    from sandbox.errors import SandboxError
    from sandbox.images.progress import Result


def push_display(progress: str) -> PushDisplay:
    """Return the display for `--progress auto|plain|json|quiet`; to be used as a context manager."""
    match progress:
        case "quiet":
            return PushDisplay()
        case "json":
            return JsonPushDisplay(sys.stderr)
        case "auto" if is_lively(sys.stderr):
            from sandbox.cli.live_output import LivePushDisplay

            return LivePushDisplay()
        case _:
            return PlainPushDisplay(sys.stderr)


class PushDisplay(Observer):
    """An Observer of a push that shows nothing, and counts the bytes that were sent."""

    def __init__(self) -> None:
        self.bytes = 0
        self._counting = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Leave the terminal as it was found."""

    def verifying(self, images: int) -> Observer:
        """Return what is told how images are read back."""
        return Observer()

    def sent(self, size: int) -> None:
        with self._counting:
            self.bytes += size


class PlainPushDisplay(PushDisplay):
    """A line for each image, when it is done."""

    def __init__(self, out: TextIO) -> None:
        super().__init__()
        self._lines = Lines(out)

    def building(self, target: str) -> None:
        self._lines.add(f"building {target}")

    def noted(self, line: str) -> None:
        self._lines.add(line)

    def planned(self, images: int, blobs: int, size: int) -> None:
        self._lines.add(f"{count(images, 'image')}, {count(blobs, 'blob')}, {megabytes(size)}")

    def finished(self, result: Result) -> None:
        self._lines.add(f"{self._lines.mark(good=True)} {row(result)}")
        for one in result.notes:
            self._lines.add(f"  {fit(one)}")

    def failed(self, target: str, error: SandboxError) -> None:
        self._lines.add(f"{self._lines.mark(good=False)} {target:<40} {error.brief}")


class JsonPushDisplay(PushDisplay):
    """One JSON object an event: {time, event, image?, …}; sent bytes are reported twice a second."""

    EVERY = 0.5

    def __init__(self, out: TextIO) -> None:
        super().__init__()
        self._events = Events(out)
        self._told = 0.0

    def building(self, target: str) -> None:
        self._events.add("building", image=target)

    def noted(self, line: str) -> None:
        self._events.add("noted", text=line)

    def planned(self, images: int, blobs: int, size: int) -> None:
        self._events.add("planned", images=images, blobs=blobs, bytes=size)

    def sent(self, size: int) -> None:
        super().sent(size)
        now = time.monotonic()
        if now - self._told >= self.EVERY:
            self._told = now
            self._events.add("sent", bytes=self.bytes)

    def finished(self, result: Result) -> None:
        seconds = round(result.seconds, 3)
        words = {"action": result.action.value, "digest": result.digest, "bytes": result.size, "seconds": seconds}
        self._events.add("finished", image=result.target, **words)

    def failed(self, target: str, error: SandboxError) -> None:
        self._events.add("failed", image=target, id=error.id, error=error.brief)


def row(result: Result) -> str:
    """Return in a line how an image was pushed."""
    return f"{result.target:<40} {result.action.value:<9} {megabytes(result.size):>10}  {result.seconds:5.1f} s"
