"""`sandbox export`."""

from __future__ import annotations

import time
from pathlib import Path

import click

from sandbox.api.export import export
from sandbox.cli import environment, session
from sandbox.cli.console import reporter


def run(ctx: click.Context, folder: Path, name: str | None, *, progress: str) -> int:
    """Write a sandbox as a folder that brings the same one up elsewhere."""
    environment.start_log(verbose=ctx.obj)
    environment.catch_signals()
    spec = session.brought_up(name)
    talk, started, title = reporter(progress), time.monotonic(), f"Export of {spec.name}"
    talk.began(title)
    left_out = export(spec, folder, lambda line: talk.progress(title, line))
    talk.finished(title, str(folder), time.monotonic() - started)
    for line in left_out:
        click.echo(f"left out: {line}", err=True)
    return 0
