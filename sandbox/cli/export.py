"""`sandbox export`."""

from __future__ import annotations

import time
from pathlib import Path

import click

from sandbox.app.export_project import Exported, export
from sandbox.cli import command_context, session
from sandbox.cli.console import reporter
from sandbox.sanitize import fit


def run(ctx: click.Context, folder: Path, name: str | None, *, progress: str) -> int:
    """Write a sandbox as a folder that brings the same one up elsewhere."""
    command_context.start_log(verbose=ctx.obj)
    command_context.catch_signals()
    spec = session.brought_up(name)
    talk, started, title = reporter(progress), time.monotonic(), f"Export of {spec.name}"
    talk.began(title)
    told = export(spec, folder, lambda line: talk.progress(title, line))
    talk.finished(title, str(folder), time.monotonic() - started)
    tell(told)
    return 0


def tell(told: Exported) -> None:
    """Say what is missing elsewhere, and what is not to be given to everybody."""
    for line in told.left_out:
        click.echo(f"left out: {fit(line)}", err=True)
    for line in told.carried:
        click.echo(f"secret carried along: {fit(line)}", err=True)
