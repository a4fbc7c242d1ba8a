"""The progress of a push on stderr: the steps of a Reporter for people, events with digests for programs."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Self

from sandbox.cli.output import Events, reporter
from sandbox.images.progress import Observer
from sandbox.quantities import count, megabytes
from sandbox.sanitize import fit

if TYPE_CHECKING:
    from sandbox.errors import SandboxError
    from sandbox.images.progress import Result
    from sandbox.report import Reporter

EVERY = 0.5  # seconds between two reports of sent bytes


def push_display(progress: str, say: Callable[[str], None], step: str) -> PushDisplay:
    """Return the display for `--progress auto|plain|json|quiet`; to be used as a context manager."""
    return JsonPushDisplay() if progress == "json" else StepPushDisplay(reporter(progress), say, step)


class PushDisplay(Observer):
    """An Observer of a push that counts the bytes that were sent."""

    def __init__(self) -> None:
        self.bytes = 0
        self._counting = threading.Lock()
        self._shown = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Leave the terminal as it was found."""

    def sent(self, size: int) -> None:
        with self._counting:
            self.bytes += size
            if time.monotonic() - self._shown < EVERY:
                return
            self._shown = time.monotonic()
        self.show_sent()

    def show_sent(self) -> None:
        """Show how many bytes were sent."""


class StepPushDisplay(PushDisplay):
    """Shows a push as one running step, and each image as a finished one."""

    def __init__(self, reporter: Reporter, say: Callable[[str], None], step: str) -> None:
        super().__init__()
        self._reporter, self._say, self._step = reporter, say, step
        self._total = 0
        self._began = time.monotonic()
        self._runs = False

    def __enter__(self) -> Self:
        self._runs = True
        self._reporter.began(self._step)
        return self

    def close(self) -> None:
        if self._runs:
            self._reporter.interrupted(self._step)
        self._runs = False

    def building(self, target: str) -> None:
        self._reporter.progress(self._step, f"building {target}")

    def noted(self, line: str) -> None:
        self._say(line)

    def planned(self, images: int, blobs: int, size: int) -> None:
        self._total = size
        words = f"{count(images, 'image')}, {count(blobs, 'blob')}, {megabytes(size)}"
        self._reporter.progress(self._step, words)

    def spared(self, size: int) -> None:
        with self._counting:
            self._total -= size

    def show_sent(self) -> None:
        rate = self.bytes / max(time.monotonic() - self._began, EVERY)
        whole = f" of {megabytes(max(self._total, self.bytes))}" if self._total else ""
        self._reporter.progress(self._step, f"{megabytes(self.bytes)}{whole}, {megabytes(rate)}/s")

    def finished(self, result: Result) -> None:
        self._reporter.finished(result.target, f"{result.action.value}, {megabytes(result.size)}", result.seconds)
        for line in result.notes:
            self._say(f"  {fit(line)}")

    def failed(self, target: str, error: SandboxError) -> None:
        self._reporter.failed(target, error.brief)


class JsonPushDisplay(PushDisplay):
    """One JSON object an event: {time, event, image?, …}; sent bytes are reported twice a second."""

    def __init__(self) -> None:
        super().__init__()
        self._events = Events(sys.stderr)

    def building(self, target: str) -> None:
        self._events.add("building", image=target)

    def noted(self, line: str) -> None:
        self._events.add("note", detail=line)

    def planned(self, images: int, blobs: int, size: int) -> None:
        self._events.add("planned", images=images, blobs=blobs, bytes=size)

    def show_sent(self) -> None:
        self._events.add("sent", bytes=self.bytes)

    def finished(self, result: Result) -> None:
        seconds = round(result.seconds, 3)
        words = {"action": result.action.value, "digest": result.digest, "bytes": result.size, "seconds": seconds}
        self._events.add("finished", image=result.target, **words)

    def failed(self, target: str, error: SandboxError) -> None:
        self._events.add("failed", image=target, id=error.id, error=error.brief)
