"""What commands write: the progress of steps on stderr, and results on stdout, for people or as JSON."""

import json
import os
import select
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import fields, is_dataclass
from enum import Enum
from io import TextIOWrapper
from typing import Any, Required, TextIO

import click
from typing_extensions import TypedDict  # pydantic needs it before Python 3.12

from sandbox.report import Reporter, result
from sandbox.sanitize import fit

PROGRESS_EVERY = 10.0  # seconds
DETAILED = ("progress", "finished", "unchanged", "failed")  # events that always have a detail


def prepare() -> None:
    """Replace characters that the locale cannot encode, and streams that are closed."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        stream = getattr(sys, name)
        if stream is None:  # closed by the parent process
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: PTH123, SIM115  # until the process ends
        elif isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")


def flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()


def is_unread(stream: TextIO) -> bool:
    poll = select.poll()
    poll.register(stream.fileno(), 0)
    return any(event & select.POLLERR for _, event in poll.poll(0))


def is_lively(stream: TextIO) -> bool:
    """Return whether lines can be drawn over: on a terminal that is not a dumb one."""
    return stream.isatty() and os.environ.get("TERM") != "dumb"


def has_color(stream: TextIO) -> bool:
    """See https://no-color.org."""
    return is_lively(stream) and not os.environ.get("NO_COLOR")


def has_desktop() -> bool:
    screen = sys.platform == "darwin" or os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    return bool(screen) and sys.stdout.isatty()


def has_terminal() -> bool:
    return sys.stdin.isatty()


def reporter(progress: str) -> Reporter:
    match progress:
        case "quiet":
            return Reporter()
        case "json":
            return JsonLines(sys.stderr)
        case "auto" if is_lively(sys.stderr):
            from sandbox.cli.live_output import Live

            return Live()
        case _:
            return Plain(sys.stderr)


def note(progress: str, line: str) -> None:
    """Print on stderr a message that belongs to no step, in the form that `--progress` names."""
    match progress:
        case "quiet":
            return
        case "json":
            JsonLines(sys.stderr).add("note", detail=fit(line))
        case _:
            Lines(sys.stderr).add(fit(line))


class Lines:
    """Writes whole lines, from several threads.

    A reader that ends early, such as `head`, ends no work, unless that is done for the reader only (`needed`).
    """

    def __init__(self, out: TextIO, *, needed: bool = False) -> None:
        self._out = out
        self._lock = threading.Lock()
        self._needed = needed

    def add(self, text: str) -> None:
        with self._lock:
            try:
                self._out.write(f"{text}\n")
                self._out.flush()
            except BrokenPipeError:
                if self._needed:
                    raise


def as_text(value: Any) -> str:
    """Return a result as JSON; it has the type that the command's `output_option` names."""
    return json.dumps(value, indent=2, default=plain_value)


def plain_value(value: Any) -> Any:
    if is_dataclass(value):
        return {field.name: getattr(value, field.name) for field in fields(value)}
    return value.value if isinstance(value, Enum) else str(value)


class Event(TypedDict, total=False):
    """A line of `--progress json`; which fields it has depends on `event`."""

    time: Required[float]
    event: Required[str]
    step: str
    detail: str
    seconds: float
    id: str
    brief: str
    details: str
    fix: str
    exit_code: int
    phase: str
    what: str
    paths: list[str]
    namespace: str
    pod: str
    container: str
    line: str
    lines: str
    status: int
    reason: str


def event_line(event: str, **more: Any) -> str:
    """Return an event of `--progress json`: {time, event, …}."""
    return json.dumps({"time": round(time.time(), 3), "event": event, **more})


class Plain(Reporter):
    """A line for each step when it is done, and at most every ten seconds the last progress of a long one."""

    def __init__(self, out: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        self._lines = Lines(out)
        self._has_color = has_color(out)
        self._clock = clock
        self._began: dict[str, float] = {}
        self._shown: dict[str, float] = {}

    def event(self, event: str, step: str, detail: str = "", seconds: float | None = None) -> None:
        now = self._clock()
        match event:
            case "began":
                self._began[step] = self._shown[step] = now
            case "progress":
                if now - self._shown.setdefault(step, now) >= PROGRESS_EVERY:
                    self._shown[step] = now
                    took = now - self._began.get(step, now)
                    self._lines.add(fit(f"… {step:<40} {took:>7.0f} s  {detail}".rstrip()))
            case "interrupted":
                pass
            case _:
                took_or_ended, detail = result(event, detail, seconds)
                mark, color = ("✗", "red") if event == "failed" else ("✓", "green")
                mark = click.style(mark, fg=color) if self._has_color else mark
                self._lines.add(f"{mark} {fit(f'{step:<40} {took_or_ended:>9}  {detail}')}".rstrip())


class JsonLines(Reporter):
    """One JSON object an event: {time, event, …}; those of a step have {step, detail?, seconds?}."""

    def __init__(self, out: TextIO, *, needed: bool = False) -> None:
        self._lines = Lines(out, needed=needed)

    def add(self, event: str, **more: Any) -> None:
        self._lines.add(event_line(event, **more))

    def event(self, event: str, step: str, detail: str = "", seconds: float | None = None) -> None:
        more: dict[str, Any] = {"detail": detail} if detail or event in DETAILED else {}
        more |= {} if seconds is None else {"seconds": round(seconds, 3)}
        self.add(event, step=step, **more)
