"""What `sandbox dev` prints of its rounds and of pods, for people and for programs."""

from __future__ import annotations

import sys
import threading
import zlib
from collections.abc import Collection
from dataclasses import asdict
from pathlib import Path

import click

from sandbox.app.dev.dev_report import Container, Crash, DevReport
from sandbox.cli.error_handler import error_of, report
from sandbox.cli.output import Events
from sandbox.errors import SandboxError
from sandbox.sanitize import fit
from sandbox.system.files import from_here

COLORS = ("cyan", "magenta", "yellow", "blue", "green", "bright_cyan", "bright_magenta", "bright_yellow")
MOST_NAMED = 3


def report_for(progress: str) -> DevReport:
    match progress:
        case "json":
            return JsonReport()
        case "quiet":
            return QuietReport()
        case _:
            return PlainReport()


class QuietReport(DevReport):
    """Errors and crashes only."""

    def __init__(self) -> None:
        self._lock = threading.Lock()

    def line(self, text: str) -> None:
        with self._lock:
            click.echo(text, err=True)

    def failed(self, error: SandboxError) -> None:
        with self._lock:
            report(error)

    def crashed(self, crash: Crash) -> None:
        place = crash.container
        mark = click.style("✗", fg="red")
        reason = f" ({crash.reason})" if crash.reason not in ("", "Error") else ""
        self.line(f"{mark} {place.pod} {place.name} ended with status {crash.code}{reason}; its last lines:")
        for one in crash.lines.splitlines():
            self.line(f"  {one}")
        if crash.fix:
            self.line(f"  take this roll-out back: {crash.fix}")


class PlainReport(QuietReport):
    """A line for each phase, and the logs of pods in a color for each."""

    def watching(self, folders: Collection[Path]) -> None:
        self.line(f"watching {_named(folders)}; Ctrl-C leaves, and all stays up")

    def changed(self, paths: Collection[Path]) -> None:
        self.line(click.style(f"─ {_named(paths)}", bold=True))

    def phase(self, name: str, what: str, seconds: float, detail: str = "") -> None:
        mark = click.style("✓", fg="green")
        said = fit(f"{f'{name} {what}'.rstrip():<40} {seconds:>7.2f} s  {detail}")
        self.line(f"{mark} {said}".rstrip())

    def ready(self, seconds: float) -> None:
        self.line(click.style(f"  {'ready':<40} {seconds:>7.2f} s  after the change was seen", bold=True))

    def copied(self, seconds: float) -> None:
        said = f"  {'copied':<40} {seconds:>7.2f} s  after the change was seen"
        self.line(f"{click.style(said, bold=True)}; a program that does not reload by itself needs `restart: true`")

    def log(self, container: Container, line: str) -> None:
        # The same pod has the same color each time.
        color = COLORS[zlib.crc32(container.pod.encode()) % len(COLORS)]
        name = container.pod if container.pod.startswith(container.name) else f"{container.pod} {container.name}"
        self.line(f"{click.style(f'{name} |', fg=color)} {line}")


class LogLines(PlainReport):
    """The lines are the result of `sandbox logs`, so they go to stdout."""

    def line(self, text: str) -> None:
        with self._lock:
            click.echo(text)


class JsonReport(DevReport):
    """One JSON object an event: {time, event, …}."""

    def __init__(self) -> None:
        self.add = Events(sys.stderr, needed=True).add

    def watching(self, folders: Collection[Path]) -> None:
        self.add("watching", paths=sorted(map(str, folders)))

    def changed(self, paths: Collection[Path]) -> None:
        self.add("changed", paths=sorted(map(str, paths)))

    def progress(self, phase: str, detail: str) -> None:
        self.add("progress", step=phase, detail=detail)

    def phase(self, name: str, what: str, seconds: float, detail: str = "") -> None:
        self.add("phase", phase=name, what=what, seconds=round(seconds, 3), detail=detail)

    def failed(self, error: SandboxError) -> None:
        self.add("failed", **asdict(error_of(error)))

    def ready(self, seconds: float) -> None:
        self.add("ready", seconds=round(seconds, 3))

    def copied(self, seconds: float) -> None:
        self.add("copied", seconds=round(seconds, 3))

    def log(self, container: Container, line: str) -> None:
        self.add("log", namespace=container.namespace, pod=container.pod, container=container.name, line=line)

    def crashed(self, crash: Crash) -> None:
        place = crash.container
        where = {"namespace": place.namespace, "pod": place.pod, "container": place.name}
        self.add("crashed", **where, status=crash.code, reason=crash.reason, lines=crash.lines, fix=crash.fix)


def _named(paths: Collection[Path]) -> str:
    names = sorted(map(from_here, paths))
    more = len(names) - MOST_NAMED
    return fit(", ".join(names[:MOST_NAMED])) + (f" and {more} more" if more > 0 else "")
