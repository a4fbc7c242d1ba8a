"""`sandbox stop`."""

from __future__ import annotations

from pathlib import Path

import click

from sandbox.cli import command_context, session
from sandbox.cli.console import reporter
from sandbox.cli.options import find_spec
from sandbox.plan import lifecycle


def run(ctx: click.Context, file: Path | None, name: str | None, *, patience: float, progress: str) -> int:
    """Let a sandbox rest: it uses no processor time and no memory, and keeps everything it holds."""
    command_context.start_log(verbose=ctx.obj)
    command_context.catch_signals()
    wanted = find_spec(file, name)
    session.require_own_cluster(wanted, "a rest")
    with session.alone(wanted.name, patience=patience, progress=progress):
        steps = session.resting(session.remembered(wanted.name) or wanted)
        stopped = lifecycle.stop(steps, reporter(progress))
    if not stopped:
        click.echo(f"nothing of sandbox '{wanted.name}' ran", err=True)
    click.echo(f"start it again with: sandbox start {wanted.name}", err=True)
    return 0
