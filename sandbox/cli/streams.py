"""Standard output and error as they are found: closed, a pipe that nobody reads, or unable to show every character."""

from __future__ import annotations

import codecs
import os
import sys
from contextlib import suppress
from io import TextIOWrapper
from typing import TextIO

_PLAIN = {"✓": "+", "✗": "x", "·": "-", "…": "...", "→": "->"}


def prepare() -> None:
    """Let what the locale cannot encode be shown in plain letters, and give closed streams a place to go."""
    codecs.register_error("plain", _plain)
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:  # closed by whoever started us
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: PTH123, SIM115  # for as long as we live
        elif isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="plain")


def flush() -> None:
    """Bring out what was written, if somebody still reads it."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()


def is_lively(stream: TextIO) -> bool:
    """Whether lines on it can be drawn over: a terminal, and not one that says it is dumb."""
    return stream.isatty() and os.environ.get("TERM") != "dumb"


def has_color(stream: TextIO) -> bool:
    """Whether color is wanted there (https://no-color.org)."""
    return is_lively(stream) and not os.environ.get("NO_COLOR")


def _plain(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):  # asked to read something
        raise error
    return "".join(_PLAIN.get(one, "?") for one in error.object[error.start : error.end]), error.end
