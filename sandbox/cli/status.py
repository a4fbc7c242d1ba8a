"""`sandbox status`."""

from __future__ import annotations

import json
from pathlib import Path

import click

from sandbox import lifecycle
from sandbox.cli import environment, session
from sandbox.cli.options import find_spec, output_option, spec_options
from sandbox.steps.step import State

MARKS = {State.READY: ("✓", "green"), State.DRIFTED: ("!", "yellow"), State.ABSENT: ("·", "white")}


@click.command("status")
@spec_options
@output_option
@click.pass_context
def command(ctx: click.Context, file: Path | None, name: str | None, *, output: str) -> int:
    """Show how every part of a sandbox stands; exit code 1 unless all is ready."""
    environment.start_log(verbose=ctx.obj)
    spec = find_spec(file, name)
    steps, _, _ = session.steps(spec)
    found = lifecycle.survey(steps)
    if output == "json":
        rows = [
            {"step": step.name, "title": step.title, "state": s.state.value, "detail": s.detail} for step, s in found
        ]
        click.echo(json.dumps({"name": spec.name, "steps": rows}, indent=2))
    else:
        for step, status in found:
            mark, color = MARKS[status.state]
            click.echo(f"{click.style(mark, fg=color)} {step.title:<40} {status.state.value:<8} {status.detail}")
    return 0 if all(status.state is State.READY for _, status in found) else 1
