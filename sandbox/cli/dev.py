"""`sandbox dev`: bring a sandbox up, then bring each change of the project's files into it."""

from __future__ import annotations

import sys
import threading
import zlib
from collections.abc import Collection
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from sandbox.cli.options import begin, lock_options, progress_option, session, spec_options
from sandbox.cli.output import Events
from sandbox.sanitize import fit

if TYPE_CHECKING:
    from sandbox.app.dev.dev_report import Container, Crash, DevReport
    from sandbox.errors import SandboxError

LEFT = "the sandbox stays up: sandbox dev goes on, sandbox down takes it down"
COLORS = ("cyan", "magenta", "yellow", "blue", "green", "bright_cyan", "bright_magenta", "bright_yellow")
MOST_NAMED = 3


@click.command("dev")
@spec_options
@click.option("--once", is_flag=True, help="Bring everything up to date, wait until it is ready, and exit.")
@click.option("--logs/--no-logs", default=True, help="Show the logs of the project's pods.")
@click.option("--poll", is_flag=True, help="Compare all files periodically, where folders send no events.")
@click.option("--yes", is_flag=True, help="As for `sandbox up`.")
@lock_options
@progress_option
def dev(
    file: Path | None,
    name: str | None,
    *,
    once: bool,
    logs: bool,
    poll: bool,
    yes: bool,
    patience: float,
    progress: str,
) -> None:
    """Run `up`, then build, push, apply and roll out every change of the project's files.

    \b
    sandbox dev             until Ctrl-C, which leaves the sandbox up
    sandbox dev --no-logs   without the pods' logs
    sandbox dev --once      for scripts

    Files with a `sync` rule in images.yaml are copied into running containers instead of built.
    """
    begin("leaving", LEFT)
    from sandbox.app import chosen_spec, context
    from sandbox.app.core import Sandbox
    from sandbox.app.dev.file_watch import FileWatch
    from sandbox.app.dev.loop import DevLoop
    from sandbox.cli import prompts
    from sandbox.cli.summary import welcome
    from sandbox.system import files

    caller = session(progress, patience)
    file = chosen_spec.file_to_bring_up(file, name)
    prompts.confirm_new(file, name, caller.say, ask=not yes)
    # If the file goes away meanwhile, that is an error: else `up` would make the default sandbox.
    file = context.meant_file(file, name)
    if file and not once:
        files.require_regular(file)  # a pipe can be read once, and would then be an empty spec
    loop = DevLoop(
        choose=lambda: Sandbox(chosen_spec.choose(file, name), session=caller),
        file=file,
        report=report_for(progress),
        agreement=prompts.Asking(caller.say, yes=yes),
        logs=logs,
        watch=FileWatch(polling=poll),
    )
    if once:
        welcome(loop.once().resolved, progress=progress)
    else:
        loop.run(lambda sandbox: welcome(sandbox.resolved, progress=progress))


def report_for(progress: str) -> DevReport:
    """Return the report for `--progress auto|plain|json|quiet`."""
    match progress:
        case "json":
            return JsonReport()
        case "quiet":
            return QuietReport()
        case _:
            return PlainReport()


class QuietReport:
    """Errors and crashes only."""

    def __init__(self) -> None:
        self._lock = threading.Lock()

    def line(self, text: str) -> None:
        """Write one whole line, whichever thread it comes from."""
        with self._lock:
            click.echo(text, err=True)

    def watching(self, folders: Collection[Path]) -> None: ...

    def changed(self, paths: Collection[Path]) -> None: ...

    def progress(self, phase: str, detail: str) -> None: ...

    def phase(self, name: str, what: str, seconds: float, detail: str = "") -> None: ...

    def ready(self, seconds: float) -> None: ...

    def copied(self, seconds: float) -> None: ...

    def log(self, container: Container, line: str) -> None: ...

    def failed(self, error: SandboxError) -> None:
        from sandbox.cli.error_handler import report

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


class JsonReport:
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
        from sandbox.cli.error_handler import error_of

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
    """Name a few paths, relative to the current folder."""
    from sandbox.system.files import from_here

    names = sorted(map(from_here, paths))
    more = len(names) - MOST_NAMED
    return fit(", ".join(names[:MOST_NAMED])) + (f" and {more} more" if more > 0 else "")
