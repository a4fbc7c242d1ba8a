"""What `sandbox dev` prints of its rounds and of pods, for people and for programs."""

from __future__ import annotations

import sys
import threading
import zlib
from collections.abc import Collection, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from sandbox.app.dev.dev_report import Container, Crash, DevReport
from sandbox.cli.error_handler import error_of, report
from sandbox.cli.output import Events
from sandbox.errors import SandboxError
from sandbox.sanitize import fit
from sandbox.system.files import from_here

COLORS = ("cyan", "magenta", "yellow", "blue", "green", "bright_cyan", "bright_magenta", "bright_yellow")
AFTER = "after the change was seen"


class DevOutput(DevReport):
    """Prints what happens on stderr in the form of `--progress`: quiet are all but errors and crashes."""

    def __init__(self, progress: str) -> None:
        self._lock = threading.Lock()
        self._quiet = progress == "quiet"
        self._events = Events(sys.stderr, needed=True) if progress == "json" else None

    def _show(self, event: str, text: str, fields: Mapping[str, Any], *, grave: bool = False) -> None:
        if self._events:
            self._events.add(event, **fields)
        elif text and (grave or not self._quiet):
            with self._lock:
                click.echo(text, err=True)

    def watching(self, folders: Collection[Path]) -> None:
        text = f"watching {_named(folders)}; Ctrl-C leaves, and all stays up"
        self._show("watching", text, {"paths": sorted(map(str, folders))})

    def changed(self, paths: Collection[Path]) -> None:
        self._show("changed", click.style(f"─ {_named(paths)}", bold=True), {"paths": sorted(map(str, paths))})

    def progress(self, phase: str, detail: str) -> None:
        self._show("progress", "", {"step": phase, "detail": detail})

    def phase(self, name: str, what: str, seconds: float, detail: str = "") -> None:
        text = fit(f"{f'{name} {what}'.rstrip():<40} {seconds:>7.2f} s  {detail}").rstrip()
        mark = click.style("✓", fg="green")
        fields = {"phase": name, "what": what, "seconds": round(seconds, 3), "detail": detail}
        self._show("phase", f"{mark} {text}", fields)

    def failed(self, error: SandboxError) -> None:
        if self._events:
            self._events.add("failed", **asdict(error_of(error)))
        else:
            with self._lock:
                report(error)

    def ready(self, seconds: float) -> None:
        text = click.style(f"  {'ready':<40} {seconds:>7.2f} s  {AFTER}", bold=True)
        self._show("ready", text, {"seconds": round(seconds, 3)})

    def copied(self, seconds: float) -> None:
        text = click.style(f"  {'copied':<40} {seconds:>7.2f} s  {AFTER}", bold=True)
        advice = "a program that does not reload by itself needs `restart: true`"
        self._show("copied", f"{text}; {advice}", {"seconds": round(seconds, 3)})

    def log(self, container: Container, line: str) -> None:
        self._show("log", log_line(container, line), {**_place(container), "line": line})

    def crashed(self, crash: Crash) -> None:
        end = {"status": crash.code, "reason": crash.reason, "lines": crash.lines, "fix": crash.fix}
        self._show("crashed", crash_text(crash), {**_place(crash.container), **end}, grave=True)


class PodLines(DevReport):
    """Prints what pods write on stdout: it is the result of `sandbox logs`."""

    def log(self, container: Container, line: str) -> None:
        click.echo(log_line(container, line))

    def crashed(self, crash: Crash) -> None:
        click.echo(crash_text(crash))


def crash_text(crash: Crash) -> str:
    where = crash.container
    reason = f" ({crash.reason})" if crash.reason not in ("", "Error") else ""
    ended = f"{where.pod} {where.name} ended with status {crash.code}{reason}; its last lines:"
    fix = (f"take this roll-out back: {crash.fix}",) if crash.fix else ()
    return "\n  ".join((f"{click.style('✗', fg='red')} {ended}", *crash.lines.splitlines(), *fix))


def log_line(container: Container, line: str) -> str:
    """Return a line with its pod, which has the same color each time."""
    color = COLORS[zlib.crc32(container.pod.encode()) % len(COLORS)]
    name = container.pod if container.pod.startswith(container.name) else f"{container.pod} {container.name}"
    return f"{click.style(f'{name} |', fg=color)} {line}"


def _place(container: Container) -> dict[str, str]:
    return {"namespace": container.namespace, "pod": container.pod, "container": container.name}


def _named(paths: Collection[Path]) -> str:
    names = sorted(map(from_here, paths))
    return fit(", ".join(names[:3])) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
