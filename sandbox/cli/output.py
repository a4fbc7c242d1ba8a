"""What commands say on stderr: lines for people, JSON lines for programs, a live display on a terminal, or nothing.

A Reporter is told of steps, a Talk of the images of a push. Standard output and error are taken as they are found:
closed, a pipe that is not read, or unable to show every character.
"""

from __future__ import annotations

import codecs
import json
import os
import select
import shutil
import sys
import textwrap
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from io import TextIOWrapper
from typing import TYPE_CHECKING, Any, Self, TextIO

import click

from sandbox.report import Reporter, Silent
from sandbox.sanitize import fit

if TYPE_CHECKING:
    from sandbox.errors import SandboxError
    from sandbox.images.progress import Result

PROGRESS_EVERY = 10.0  # seconds
_PLAIN = {"✓": "+", "✗": "x", "·": "-", "…": "...", "→": "->"}


def prepare() -> None:
    """Let what the locale cannot encode be shown in plain letters, and give closed streams a place to go."""
    codecs.register_error("plain", _plain)
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        stream = getattr(sys, name)
        if stream is None:  # closed by the parent process
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: PTH123, SIM115  # for as long as we live
        elif isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="plain")


def flush() -> None:
    """Bring out what was written, if it is still read."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()


def is_unread(stream: TextIO) -> bool:
    """Say whether it is a pipe whose reader has gone."""
    poll = select.poll()
    poll.register(stream.fileno(), 0)
    return any(event & select.POLLERR for _, event in poll.poll(0))


def is_lively(stream: TextIO) -> bool:
    """Say whether lines on it can be drawn over: on a terminal, and not one that says it is dumb."""
    return stream.isatty() and os.environ.get("TERM") != "dumb"


def has_color(stream: TextIO) -> bool:
    """Say whether color is wanted there (https://no-color.org)."""
    return is_lively(stream) and not os.environ.get("NO_COLOR")


def has_terminal() -> bool:
    """Say whether a question can be answered: standard input is a terminal."""
    return sys.stdin.isatty()


def _plain(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):  # asked to read something
        raise error
    return "".join(_PLAIN.get(one, "?") for one in error.object[error.start : error.end]), error.end


def reporter(progress: str) -> Reporter:
    """Make the reporter for `--progress auto|plain|json|quiet`."""
    match progress:
        case "quiet":
            return Silent()
        case "json":
            return JsonLines(sys.stderr)
        case "auto" if is_lively(sys.stderr):
            from sandbox.cli.live_output import Live

            return Live()
        case _:
            return Plain(sys.stderr)


def talk(progress: str) -> Talk:
    """Make the Talk for `--progress auto|plain|json|quiet`; to be used as a context manager."""
    match progress:
        case "quiet":
            return Talk()
        case "json":
            return JsonTalk(sys.stderr)
        case "auto" if is_lively(sys.stderr):
            from sandbox.cli.live_output import LiveTalk

            return LiveTalk()
        case _:
            return PlainTalk(sys.stderr)


def note(progress: str, line: str) -> None:
    """Say on stderr what belongs to no step, in the manner of `--progress`."""
    match progress:
        case "quiet":
            return
        case "json":
            Events(sys.stderr).add("note", detail=fit(line))
        case _:
            click.echo(fit(line), err=True)


class _Lines:
    """Whole lines, from several threads."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._lock = threading.Lock()

    def add(self, text: str) -> None:
        with self._lock:
            self._out.write(f"{text}\n")
            self._out.flush()

    def mark(self, *, good: bool) -> str:
        """Return the sign before a line, in color where that is wanted."""
        sign = "✓" if good else "✗"
        return click.style(sign, fg="green" if good else "red") if has_color(self._out) else sign


def show_json(value: Any) -> None:
    """Print a result for programs; `json_results` has its type."""
    click.echo(as_text(value))


def as_text(value: Any) -> str:
    """Return a result as JSON."""
    return json.dumps(value, indent=2)


class Events:
    """One JSON object an event: {time, event, …}."""

    def __init__(self, out: TextIO) -> None:
        self._lines = _Lines(out)

    def add(self, event: str, **more: Any) -> None:
        self._lines.add(json.dumps({"time": round(time.time(), 3), "event": event, **more}))


class Plain:
    """One line when a step has come to its end, and every ten seconds how far a long one is."""

    def __init__(self, out: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        self._lines = _Lines(out)
        self._clock = clock
        self._began: dict[str, float] = {}
        self._said: dict[str, float] = {}

    def began(self, step: str) -> None:
        self._began[step] = self._said[step] = self._clock()

    def progress(self, step: str, detail: str) -> None:
        now = self._clock()
        if now - self._said.setdefault(step, now) >= PROGRESS_EVERY:
            self._said[step] = now
            self._lines.add(f"… {step:<40} {now - self._began.get(step, now):>7.0f} s  {detail}".rstrip())

    def finished(self, step: str, detail: str, seconds: float) -> None:
        self._line(step, f"{seconds:.1f} s", detail)

    def unchanged(self, step: str, detail: str) -> None:
        self._line(step, "unchanged", detail)

    def failed(self, step: str, brief: str) -> None:
        self._line(step, "failed", brief, good=False)

    def interrupted(self, step: str) -> None:
        return

    def stopped(self, step: str, seconds: float) -> None:
        self._line(step, f"{seconds:.1f} s", "stopped")

    def removed(self, step: str, seconds: float) -> None:
        self._line(step, f"{seconds:.1f} s", "removed")

    def _line(self, step: str, took: str, words: str, *, good: bool = True) -> None:
        self._lines.add(f"{self._lines.mark(good=good)} {step:<40} {took:>9}  {words}".rstrip())


class JsonLines:
    """One JSON object an event: {time, event, step, detail?, seconds?}."""

    def __init__(self, out: TextIO) -> None:
        self._events = Events(out)

    def began(self, step: str) -> None:
        self._events.add("began", step=step)

    def progress(self, step: str, detail: str) -> None:
        self._events.add("progress", step=step, detail=detail)

    def finished(self, step: str, detail: str, seconds: float) -> None:
        self._events.add("finished", step=step, detail=detail, seconds=round(seconds, 3))

    def unchanged(self, step: str, detail: str) -> None:
        self._events.add("unchanged", step=step, detail=detail)

    def failed(self, step: str, brief: str) -> None:
        self._events.add("failed", step=step, detail=brief)

    def interrupted(self, step: str) -> None:
        self._events.add("interrupted", step=step)

    def stopped(self, step: str, seconds: float) -> None:
        self._events.add("stopped", step=step, seconds=round(seconds, 3))

    def removed(self, step: str, seconds: float) -> None:
        self._events.add("removed", step=step, seconds=round(seconds, 3))


class Talk:
    """The Observer of a push that says nothing, but counts the bytes that were sent."""

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
        self._lines = _Lines(out)

    def building(self, target: str) -> None:
        self._lines.add(f"building {target}")

    def planned(self, images: int, blobs: int, size: int) -> None:
        self._lines.add(f"{count(images, 'image')}, {count(blobs, 'blob')}, {megabytes(size)}")

    def finished(self, result: Result) -> None:
        self._lines.add(f"{self._lines.mark(good=True)} {row(result)}")
        for one in result.notes:
            self._lines.add(f"  {one}")

    def failed(self, target: str, error: SandboxError) -> None:
        self._lines.add(f"{self._lines.mark(good=False)} {target:<40} {error.brief}")


class JsonTalk(Talk):
    """One JSON object an event: {time, event, image?, …}; bytes that are sent are told twice a second."""

    EVERY = 0.5

    def __init__(self, out: TextIO) -> None:
        super().__init__()
        self._events = Events(out)
        self._told = 0.0

    def building(self, target: str) -> None:
        self._events.add("building", image=target)

    def expected(self, size: int) -> None:
        self._events.add("expected", bytes=size)

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
    """Say how an image was pushed, in a line."""
    return f"{result.target:<40} {result.action.value:<9} {megabytes(result.size):>10}  {result.seconds:5.1f} s"


def laid_out(head: str, detail: str, *, indent: int = 2) -> list[str]:
    """Lay a row of a table out: in one line, or in lines that fit a narrow terminal, with the detail below the head."""
    line = f"{head} {detail}".rstrip()
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else 0
    if not width or len(line) + indent <= width:
        return [line]
    space = max(width - indent, 10)
    rows = textwrap.wrap(" ".join(head.split()), space)
    rows += [f"  {row}" for row in textwrap.wrap(detail, max(space - 2, 10))]
    return [rows[0], *(f"{'':<{indent}}{row}" for row in rows[1:])]


def count(number: int, noun: str) -> str:
    """Say a number of things."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def megabytes(size: float) -> str:
    """Say bytes as people read them."""
    return f"{size / 1e6:.1f} MB"
