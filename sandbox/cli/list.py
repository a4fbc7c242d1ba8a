"""`sandbox list`."""

from __future__ import annotations

import json

import click

from sandbox.cli import environment, session
from sandbox.host import own
from sandbox.host.engine import Engine
from sandbox.names import LABEL
from sandbox.proxy import routes
from sandbox.steps import lookup


def run(ctx: click.Context, *, output: str) -> int:
    """List the sandboxes of this machine."""
    environment.start_log(verbose=ctx.obj)
    home = environment.home()
    engine = Engine.connect()
    known = {route.name: route.domain for folder in (home.edge, home.passthrough) for route in routes.load(folder)}
    ours = own.containers(engine, home)
    names = sorted({one.labels[LABEL] for one in ours if one.labels[LABEL]} | known.keys())
    rows = []
    for name in names:
        spec = session.remembered(name)
        abroad = spec is not None and not spec.cluster.is_ours
        state = "existing" if abroad else lookup.nodes(engine, home.sandbox(name)).standing().value
        rows.append({"name": name, "cluster": state, "domain": known.get(name, "")})
    if output == "json":
        click.echo(json.dumps(rows, indent=2))
    elif not rows:
        click.echo("no sandboxes; `sandbox up` makes one", err=True)
    else:
        for row in rows:
            click.echo(f"{row['name']:<20} {row['cluster']:<8} {row['domain']}")
    return 0
