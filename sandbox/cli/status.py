"""`sandbox status`."""

from __future__ import annotations

import json
from pathlib import Path

import click

from sandbox import lifecycle, preflight
from sandbox.certs.keystore import Keystore
from sandbox.cli import environment, session
from sandbox.cli.options import find_spec
from sandbox.steps.lan import access, reachable, urls, warning
from sandbox.steps.step import State

MARKS = {
    State.READY: ("✓", "green"),
    State.DRIFTED: ("!", "yellow"),
    State.STALE: ("!", "red"),
    State.ABSENT: ("·", "white"),
    State.UNSEEN: ("·", "white"),
}


def run(ctx: click.Context, file: Path | None, name: str | None, *, output: str) -> int:
    """Show how every part of a sandbox stands; exit code 1 unless all is ready."""
    environment.start_log(verbose=ctx.obj)
    spec = find_spec(file, name)
    steps, engine, _ = session.steps(spec)
    with engine.glance():
        found = lifecycle.survey(steps)
    lan = access(spec, Keystore(environment.home().sandbox(spec.name).keys))
    settled = preflight.settle(spec, environment.home(), engine)
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
