"""`sandbox down`."""

from __future__ import annotations

from pathlib import Path

import click

from sandbox import lifecycle
from sandbox.api import agreements, checkouts, remains
from sandbox.api.world import shell
from sandbox.cli import console, environment, session
from sandbox.cli.console import reporter
from sandbox.cli.options import find_spec


def run(ctx: click.Context, file: Path | None, name: str | None, *, purge: bool, patience: float, progress: str) -> int:
    """Take a sandbox down: its containers, network, volumes and kubeconfig entries, and nothing else."""
    environment.start_log(verbose=ctx.obj)
    environment.catch_signals("stopping", "what is gone is gone; the rest: sandbox down")
    spec = shell(find_spec(file, name))
    with session.alone(spec.name, patience=patience, progress=progress):
        steps, _, _ = session.steps(spec, purge=purge)
        removed = lifecycle.down(steps, reporter(progress))
        if purge:
            agreements.sweep(environment.home())
            remains.sweep(environment.home(), spec.name)
    checkouts.sweep(environment.home())
    if not removed:
        console.note(progress, f"nothing of '{spec.name}' was there to be taken down")
    elif not purge:
        kept = "the registry's data and the certificates" if spec.cluster.is_ours else "the certificates"
        console.note(progress, f"kept: {kept} (remove them with --purge)")
    return 0
