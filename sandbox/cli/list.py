"""`sandbox list`."""

from __future__ import annotations

import json

import click

from sandbox.cli import command_context, session
from sandbox.components.edge import routes
from sandbox.engine import Engine, labelled
from sandbox.names import LABEL
from sandbox.plan import providers


def run(ctx: click.Context, *, output: str) -> int:
    """List the sandboxes of this machine."""
    command_context.start_log(verbose=ctx.obj)
    home = command_context.home()
    engine = Engine.connect()
    known = {route.name: route.domain for folder in (home.edge, home.passthrough) for route in routes.load(folder)}
    ours = labelled.containers(engine, home)
    names = sorted({one.labels[LABEL] for one in ours if one.labels[LABEL]} | known.keys())
    rows = []
    for name in names:
        spec = session.remembered(name)
        abroad = spec is not None and not spec.cluster.is_ours
        state = "existing" if abroad else providers.nodes(engine, home.sandbox(name)).standing().value
        rows.append({"name": name, "cluster": state, "domain": known.get(name, "")})
    if output == "json":
        click.echo(json.dumps(rows, indent=2))
    elif not rows:
        click.echo("no sandboxes; `sandbox up` makes one", err=True)
    else:
        for row in rows:
            click.echo(f"{row['name']:<20} {row['cluster']:<8} {row['domain']}")
    return 0
