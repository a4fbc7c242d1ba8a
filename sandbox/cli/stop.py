"""`sandbox stop`."""

from __future__ import annotations

from pathlib import Path

import click

from sandbox import lifecycle
from sandbox.cli import environment, session
from sandbox.cli.console import reporter
from sandbox.cli.options import find_spec


def run(ctx: click.Context, file: Path | None, name: str | None, *, patience: float, progress: str) -> int:
    """Let a sandbox rest: it uses no processor time and no memory, and keeps everything it holds."""
    environment.start_log(verbose=ctx.obj)
    environment.catch_signals()
    wanted = find_spec(file, name)
    session.require_own_cluster(wanted, "a rest")
    with session.alone(wanted.name, patience=patience, progress=progress):
        steps = session.resting(session.remembered(wanted.name) or wanted)
        stopped = lifecycle.stop(steps, reporter(progress))
    if not stopped:
        click.echo(f"nothing of sandbox '{wanted.name}' ran", err=True)
    click.echo(f"start it again with: sandbox start {wanted.name}", err=True)
    return 0
