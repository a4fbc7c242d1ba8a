"""Reporters on stderr: a line a step, a live display on a terminal, JSON lines for programs."""

from __future__ import annotations

import json
import sys
import threading
import time
from typing import Any, TextIO

import click

from sandbox.cli.streams import has_color, is_lively
from sandbox.report import Reporter, Silent
from sandbox.sanitize import fit


def reporter(progress: str) -> Reporter:
    """The reporter for `--progress auto|plain|json|quiet`."""
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


def note(progress: str, line: str) -> None:
    """Say on stderr what belongs to no step, in the manner of `--progress`."""
    match progress:
        case "quiet":
            return
        case "json":
            JsonLines(sys.stderr).note(fit(line))
        case _:
            click.echo(fit(line), err=True)


class Plain:
    """One line when a step has come to its end."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._lock = threading.Lock()

    def began(self, step: str) -> None:
        return

    def progress(self, step: str, detail: str) -> None:
        return

    def finished(self, step: str, detail: str, seconds: float) -> None:
        self._line("✓", "green", step, f"{seconds:.1f} s", detail)

    def unchanged(self, step: str, detail: str) -> None:
        self._line("✓", "green", step, "unchanged", detail)

    def failed(self, step: str, brief: str) -> None:
        self._line("✗", "red", step, "failed", brief)

    def interrupted(self, step: str) -> None:
        return

    def stopped(self, step: str, seconds: float) -> None:
        self._line("✓", "green", step, f"{seconds:.1f} s", "stopped")

    def removed(self, step: str, seconds: float) -> None:
        self._line("✓", "green", step, f"{seconds:.1f} s", "removed")

    def _line(self, mark: str, color: str, step: str, took: str, words: str) -> None:
        text = click.style(mark, fg=color) if has_color(self._out) else mark
        with self._lock:
            self._out.write(f"{text} {step:<40} {took:>9}  {words}".rstrip() + "\n")
            self._out.flush()


class JsonLines:
    """One JSON object an event: {time, event, step?, detail?, seconds?}."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._lock = threading.Lock()

    def began(self, step: str) -> None:
        self._event("began", step)

    def progress(self, step: str, detail: str) -> None:
        self._event("progress", step, detail=detail)

    def finished(self, step: str, detail: str, seconds: float) -> None:
        self._event("finished", step, detail=detail, seconds=round(seconds, 3))

    def unchanged(self, step: str, detail: str) -> None:
        self._event("unchanged", step, detail=detail)

    def failed(self, step: str, brief: str) -> None:
        self._event("failed", step, detail=brief)

    def interrupted(self, step: str) -> None:
        self._event("interrupted", step)

    def stopped(self, step: str, seconds: float) -> None:
        self._event("stopped", step, seconds=round(seconds, 3))

    def removed(self, step: str, seconds: float) -> None:
        self._event("removed", step, seconds=round(seconds, 3))

    def note(self, line: str) -> None:
        """What belongs to no step."""
        self._event("note", None, detail=line)

    def _event(self, event: str, step: str | None, **more: Any) -> None:
        about = {} if step is None else {"step": step}
        with self._lock:
            self._out.write(json.dumps({"time": round(time.time(), 3), "event": event, **about, **more}) + "\n")
            self._out.flush()
