"""`sandbox dev`: bring a sandbox up, then bring each change of the project's files into it."""

import sys
import threading
from collections.abc import Collection, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from sandbox.app import chosen_spec, context
from sandbox.app.core import Sandbox
from sandbox.app.dev.dev_report import Container, Crash, DevReport
from sandbox.app.dev.file_watch import FileWatch
from sandbox.app.dev.loop import DevLoop
from sandbox.cli import prompts
from sandbox.cli.error_handler import error_of, report
from sandbox.cli.options import begin, change_options, spec_options
from sandbox.cli.output import JsonLines
from sandbox.cli.up import welcome
from sandbox.cli.workloads import crash_text, log_line
from sandbox.errors import SandboxError
from sandbox.sanitize import fit
from sandbox.system import files
from sandbox.system.files import from_here

AFTER = "after the change was seen"
LEFT = "the sandbox stays up: sandbox dev goes on, sandbox down takes it down"


@click.command("dev")
@spec_options
@click.option("--once", is_flag=True, help="Bring everything up to date, wait until it is ready, and exit.")
@click.option("--logs/--no-logs", default=True, help="Show the logs of the project's pods.")
@click.option("--poll", is_flag=True, help="Compare all files periodically, where folders send no events.")
@change_options("As for `sandbox up`.")
def dev(*, once: bool, logs: bool, poll: bool) -> None:
    """Run `up`, then build, push and apply every change of the project's files.

    \b
    sandbox dev             until Ctrl-C, which leaves the sandbox up
    sandbox dev --no-logs   without the pods' logs
    sandbox dev --once      for scripts

    Files with a `sync` rule in images.yaml are copied into running containers instead of built.
    """
    call = begin("leaving", LEFT)
    file = chosen_spec.file_to_bring_up(call.file, call.name)
    if file is None and call.name is None:
        prompts.note_project(call.say)
    # If the file goes away meanwhile, that is an error: else `up` would make the default sandbox.
    file = context.meant_file(file, call.name)
    if file and not once:
        files.require_regular(file)  # a pipe can be read once, and would then be an empty spec
    agreement = prompts.Asking(yes=bool(call.yes))

    def choose() -> Sandbox:
        return Sandbox(chosen_spec.choose(file, call.name, may_rename=True), session=call.session, agreement=agreement)

    loop = DevLoop(
        choose=choose,
        file=file,
        report=DevOutput(call.progress),
        logs=logs,
        watch=FileWatch(polling=poll),
    )
    if once:
        welcome(loop.once().resolved, call)
    else:
        loop.run(lambda sandbox: welcome(sandbox.resolved, call))


class DevOutput(DevReport):
    """Prints what happens on stderr in the form of `--progress`: quiet are all but errors and crashes."""

    def __init__(self, progress: str) -> None:
        self._lock = threading.Lock()
        self._quiet = progress == "quiet"
        self._events = JsonLines(sys.stderr, needed=True) if progress == "json" else None

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


def _place(container: Container) -> dict[str, str]:
    return {"namespace": container.namespace, "pod": container.pod, "container": container.name}


def _named(paths: Collection[Path]) -> str:
    names = sorted(map(from_here, paths))
    return fit(", ".join(names[:3])) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
