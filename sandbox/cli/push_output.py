"""What a push says on stderr: a line an image, or JSON lines for programs, or a live display on a terminal."""

from __future__ import annotations

import json
import sys
import threading
import time
from typing import Any, Self, TextIO

import click

from sandbox.cli.streams import has_color, is_lively
from sandbox.errors import SandboxError
from sandbox.images.progress import Result


def talk(progress: str) -> Talk:
    """The Observer for `--progress auto|plain|json|quiet`; to be used as a context manager."""
    match progress:
        case "quiet":
            return Talk()
        case "json":
            return JsonTalk(sys.stderr)
        case "auto" if is_lively(sys.stderr):
            from sandbox.cli.push_live_output import LiveTalk

            return LiveTalk()
        case _:
            return PlainTalk(sys.stderr)


class Talk:
    """Says nothing, but counts the bytes that were sent."""

    def __init__(self) -> None:
        self.bytes = 0
        self._counting = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Leave the terminal as it was found."""

    def verifying(self, images: int) -> None:
        """Images are being read back."""

    def building(self, target: str) -> None:
        return

    def expected(self, size: int) -> None:
        return

    def planned(self, images: int, blobs: int, size: int) -> None:
        return

    def sent(self, size: int) -> None:
        with self._counting:
            self.bytes += size

    def spared(self, size: int) -> None:
        return

    def finished(self, result: Result) -> None:
        return

    def failed(self, target: str, error: SandboxError) -> None:
        return


class PlainTalk(Talk):
    """A line for each image, when it has come to its end."""

    def __init__(self, out: TextIO) -> None:
        super().__init__()
        self._out = out
        self._writing = threading.Lock()

    def building(self, target: str) -> None:
        self._line(f"building {target}")

    def planned(self, images: int, blobs: int, size: int) -> None:
        self._line(f"{count(images, 'image')}, {count(blobs, 'blob')}, {megabytes(size)}")

    def finished(self, result: Result) -> None:
        self._line(f"{mark(good=True, color=has_color(self._out))} {row(result)}")
        for note in result.notes:
            self._line(f"  {note}")

    def failed(self, target: str, error: SandboxError) -> None:
        self._line(f"{mark(good=False, color=has_color(self._out))} {target:<40} {error.brief}")

    def _line(self, text: str) -> None:
        with self._writing:
            self._out.write(f"{text}\n")
            self._out.flush()


class JsonTalk(Talk):
    """One JSON object an event: {time, event, image?, …}; bytes that are sent are told twice a second."""

    EVERY = 0.5

    def __init__(self, out: TextIO) -> None:
        super().__init__()
        self._out = out
        self._writing = threading.Lock()
        self._told = 0.0

    def building(self, target: str) -> None:
        self._event("building", image=target)

    def expected(self, size: int) -> None:
        self._event("expected", bytes=size)

    def planned(self, images: int, blobs: int, size: int) -> None:
        self._event("planned", images=images, blobs=blobs, bytes=size)

    def sent(self, size: int) -> None:
        super().sent(size)
        now = time.monotonic()
        if now - self._told >= self.EVERY:
            self._told = now
            self._event("sent", bytes=self.bytes)

    def finished(self, result: Result) -> None:
        seconds = round(result.seconds, 3)
        words = {"action": result.action.value, "digest": result.digest, "bytes": result.size, "seconds": seconds}
        self._event("finished", image=result.target, **words)

    def failed(self, target: str, error: SandboxError) -> None:
        self._event("failed", image=target, id=error.id, error=error.brief)

    def _event(self, event: str, **more: Any) -> None:
        with self._writing:
            self._out.write(json.dumps({"time": round(time.time(), 3), "event": event, **more}) + "\n")
            self._out.flush()


def row(result: Result) -> str:
    """One image in a line."""
    return f"{result.target:<40} {result.action.value:<9} {megabytes(result.size):>10}  {result.seconds:5.1f} s"


def count(number: int, noun: str) -> str:
    """A number of things."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def megabytes(size: float) -> str:
    """Bytes as people read them."""
    return f"{size / 1e6:.1f} MB"


def mark(*, good: bool, color: bool) -> str:
    """The sign before an image's line."""
    sign = "✓" if good else "✗"
    return click.style(sign, fg="green" if good else "red") if color else sign
