"""`sandbox status` and `sandbox list`: the state of a sandbox's components, and the sandboxes of this machine."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from sandbox.cli.options import begin, output_option, sandbox_of, spec_options
from sandbox.cli.output import laid_out, show_json

if TYPE_CHECKING:
    from sandbox.app.core import Part
    from sandbox.app.service_places import Reached

MARKS = {
    "ready": ("✓", "green"),
    "drifted": ("!", "yellow"),
    "stale": ("!", "red"),
    "absent": ("·", "white"),
    "unseen": ("·", "white"),
}


@click.command("status")
@spec_options
@output_option
@click.pass_context
def status(ctx: click.Context, file: Path | None, name: str | None, *, output: str) -> int:
    """Show the state of every component, and where Services are reached; exit code 1 unless all are ready.

    A Service is listed if it has a port of this machine or an address as a load balancer.

    \b
    sandbox status
    sandbox status demo -o json
    """
    begin(ctx)
    from dataclasses import asdict

    from sandbox.app.session import rouse
    from sandbox.engine import Engine

    sandbox = sandbox_of(file, name)
    rouse(sandbox.names)
    engine = Engine.connect()
    with engine.glance():
        parts = sandbox.parts()
        from sandbox.app import context, service_places  # takes long to import: most of it is imported by now
        from sandbox.app.overview import exposure

        runs = any((one.name, one.state) == ("cluster", "ready") for one in parts)
        services = service_places.reached_of(sandbox.name, context.home(), engine) if runs else ()
        exposed = exposure(sandbox.resolved, (f"*.{sandbox.domain}",), engine)
    if output == "json":
        rows = [{"step": one.name, "title": one.title, "state": one.state, "detail": one.detail} for one in parts]
        network = {
            "open": exposed.access.open,
            "urls": exposed.urls,
            "without_certificate": exposed.access.unvouched,
            "neighbours": exposed.neighbours,
        }
        reached = [asdict(one) for one in services]
        show_json({"name": sandbox.name, "steps": rows, "network": network, "services": reached})
    else:
        for one in parts:
            mark, color = MARKS[one.state]
            word = _word(one)
            first, *more = laid_out(f"{one.title:<40} {word:<8}", "" if one.detail == word else one.detail)
            click.echo(f"{click.style(mark, fg=color)} {first}")
            for line in more:
                click.echo(line)
        for service in services:
            _show(service)
        if exposed.access.open:
            click.echo(f"{click.style('!', fg='yellow')} " + ", ".join((exposed.warning, *exposed.urls)))
        if exposed.neighbours:
            click.echo(f"{click.style('!', fg='yellow')} {exposed.neighbours}")
    return 0 if all(one.state == "ready" for one in parts) else 1


def _show(service: Reached) -> None:
    """Print where a Service is reached, and its name for pods."""
    places = ", ".join(service.places) or "no address yet"
    first, *more = laid_out(f"{service.service:<40}", f"{places}, by pods as {service.name}")
    click.echo(f"{click.style('→', fg='green' if service.places else 'yellow')} {first}")
    for line in more:
        click.echo(line)


def _word(part: Part) -> str:
    """Return the state as users know it: a stopped part has not drifted."""
    return "stopped" if part.state == "drifted" and part.detail.startswith("stopped") else part.state


@click.command("list")
@output_option
@click.pass_context
def list_(ctx: click.Context, *, output: str) -> int:
    """List the sandboxes of this machine.

    \b
    sandbox list
    sandbox list -o json
    """
    begin(ctx)
    from dataclasses import asdict

    from sandbox.app.known_sandboxes import sandboxes

    found = sandboxes()
    if output == "json":
        show_json([asdict(one) for one in found])
    elif not found:
        click.echo("no sandboxes; create one with: sandbox up", err=True)
    else:
        for one in found:
            click.echo(f"{one.name:<20} {one.cluster:<8} {one.domain}")
    return 0
