"""`sandbox status`."""

from __future__ import annotations

import json
from pathlib import Path

import click

from sandbox.app import requirements
from sandbox.cli import command_context, session
from sandbox.cli.options import find_spec
from sandbox.components.certificates.keystore import Keystore
from sandbox.components.edge.lan_access import access, reachable, urls, warning
from sandbox.plan import lifecycle
from sandbox.step import State

MARKS = {
    State.READY: ("✓", "green"),
    State.DRIFTED: ("!", "yellow"),
    State.STALE: ("!", "red"),
    State.ABSENT: ("·", "white"),
    State.UNSEEN: ("·", "white"),
}


def run(ctx: click.Context, file: Path | None, name: str | None, *, output: str) -> int:
    """Show how every part of a sandbox stands; exit code 1 unless all is ready."""
    command_context.start_log(verbose=ctx.obj)
    spec = find_spec(file, name)
    steps, engine, _ = session.steps(spec)
    with engine.glance():
        found = lifecycle.survey(steps)
    lan = access(spec, Keystore(command_context.home().sandbox(spec.name).keys))
    settled = requirements.settle(spec, command_context.home(), engine)
    outside = urls(lan, settled, (f"*.{spec.domain}",)) if lan.open else ()
    exposed = reachable(settled, engine.facts()) if spec.cluster.is_ours else ""
    if output == "json":
        rows = [
            {"step": step.name, "title": step.title, "state": s.state.value, "detail": s.detail} for step, s in found
        ]
        network = {"open": lan.open, "urls": outside, "without_certificate": lan.unvouched, "neighbours": exposed}
        click.echo(json.dumps({"name": spec.name, "steps": rows, "network": network}, indent=2))
    else:
        for step, status in found:
            mark, color = MARKS[status.state]
            click.echo(f"{click.style(mark, fg=color)} {step.title:<40} {status.state.value:<8} {status.detail}")
        if lan.open:
            click.echo(f"{click.style('!', fg='yellow')} " + ", ".join((warning(lan, settled), *outside)))
        if exposed:
            click.echo(f"{click.style('!', fg='yellow')} {exposed}")
    return 0 if all(status.state is State.READY for _, status in found) else 1
