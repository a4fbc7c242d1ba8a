"""`sandbox down`."""

from __future__ import annotations

from pathlib import Path

import click

from sandbox.app import checkouts, consent, remains
from sandbox.app.context import shell
from sandbox.cli import command_context, console, session
from sandbox.cli.console import reporter
from sandbox.cli.options import find_spec
from sandbox.plan import lifecycle


def run(ctx: click.Context, file: Path | None, name: str | None, *, purge: bool, patience: float, progress: str) -> int:
    """Take a sandbox down: its containers, network, volumes and kubeconfig entries, and nothing else."""
    command_context.start_log(verbose=ctx.obj)
    command_context.catch_signals("stopping", "what is gone is gone; the rest: sandbox down")
    spec = shell(find_spec(file, name))
    with session.alone(spec.name, patience=patience, progress=progress):
        steps, _, _ = session.steps(spec, purge=purge)
        removed = lifecycle.down(steps, reporter(progress))
        if purge:
            consent.sweep(command_context.home())
            remains.sweep(command_context.home(), spec.name)
    checkouts.sweep(command_context.home())
    if not removed:
        console.note(progress, f"nothing of '{spec.name}' was there to be taken down")
    elif not purge:
        kept = "the registry's data and the certificates" if spec.cluster.is_ours else "the certificates"
        console.note(progress, f"kept: {kept} (remove them with --purge)")
    return 0
