"""`sandbox status` and `sandbox list`: the state of a sandbox's components, and the sandboxes of this machine."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sandbox.cli.options import begin, output_option, sandbox_of, spec_options
from sandbox.cli.output import laid_out, show_json, show_list

if TYPE_CHECKING:
    from sandbox.app.core import Part
    from sandbox.app.overview import Exposure
    from sandbox.app.service_places import Reached

MARKS = {
    "ready": ("✓", "green"),
    "drifted": ("!", "yellow"),
    "stale": ("!", "red"),
    "absent": ("·", "white"),
    "unseen": ("·", "white"),
}
WIDTH = 40  # of the first column, unless one of its names is longer


@click.command("status")
@spec_options
@output_option
def status(file: Path | None, name: str | None, *, output: str) -> int:
    """Show the state of every component, and where Services are reached; exit code 1 unless all are ready.

    A Service is listed if it has a port of this machine or an address as a load balancer.

    \b
    sandbox status
    sandbox status demo -o json
    """
    begin()
    from sandbox.app import context, service_places
    from sandbox.app.overview import exposure
    from sandbox.app.session import wake_paused
    from sandbox.engine import Engine

    sandbox = sandbox_of(file, name)
    wake_paused(sandbox.names)
    engine = Engine.connect()
    with engine.keeping():
        parts = sandbox.parts()
        runs = any(part.name == "cluster" and part.state == "ready" for part in parts)
        services = service_places.reached_of(sandbox.name, context.home(), engine) if runs else ()
        exposed = exposure(sandbox.resolved, (f"*.{sandbox.domain}",), engine)
    if output == "json":
        show_json(_as_json(sandbox.name, parts, services, exposed))
    else:
        width = max(WIDTH, *(len(part.title) for part in parts), *(len(one.service) for one in services))
        for part in parts:
            _show_part(part, width)
        for service in services:
            _show_service(service, width)
        if exposed.access.open:
            click.echo(f"{click.style('!', fg='yellow')} " + ", ".join((exposed.warning, *exposed.urls)))
        if exposed.neighbours:
            click.echo(f"{click.style('!', fg='yellow')} {exposed.neighbours}")
        if not _exists(parts):
            click.echo(_absence(sandbox.name, called=name is not None, given=file is not None), err=True)
            sandbox.note_earlier_names()
    return 0 if all(part.state == "ready" for part in parts) else 1


def _exists(parts: Sequence[Part]) -> bool:
    """Tell whether `up` has made anything that `down` takes away."""
    return any(part.name in ("spec", "cluster") and part.state != "absent" for part in parts)


def _absence(name: str, *, called: bool, given: bool = False) -> str:
    """Say what to do where nothing is: the name may be mistyped, if the user `called` the sandbox by it.

    Without that, and without a file that is `given` or here, the folder may be the wrong one.
    """
    from sandbox.app import chosen_spec

    if not called:
        if not given and (meant := chosen_spec.meant_here()):
            return f"there is no sandbox.yaml here; did you mean: sandbox status {meant}? create one with: sandbox up"
        return f"'{name}' is not up; create it with: sandbox up"
    error = chosen_spec.unknown(name)
    return f"{error.brief}; {error.fix}"


def _as_json(name: str, parts: Sequence[Part], services: Sequence[Reached], exposed: Exposure) -> dict[str, Any]:
    """Return the status as `json_results.SandboxStatus` has it."""
    from dataclasses import asdict

    return {
        "name": name,
        "steps": [
            {"step": part.name, "title": part.title, "state": part.state, "detail": part.detail} for part in parts
        ],
        "network": {
            "open": exposed.access.open,
            "urls": exposed.urls,
            "without_certificate": exposed.access.unvouched,
            "neighbours": exposed.neighbours,
        },
        "services": [asdict(service) for service in services],
    }


def _show_part(part: Part, width: int) -> None:
    """Print the state of a component."""
    mark, color = MARKS[part.state]
    word = _word(part)
    first, *more = laid_out(f"{part.title:<{width}} {word:<8}", "" if part.detail == word else part.detail)
    click.echo(f"{click.style(mark, fg=color)} {first}")
    for line in more:
        click.echo(line)


def _show_service(service: Reached, width: int) -> None:
    """Print where a Service is reached, and its name for pods."""
    places = ", ".join(service.places) or "no address yet"
    first, *more = laid_out(f"{service.service:<{width}}", f"{places}, by pods as {service.name}")
    click.echo(f"{click.style('→', fg='green' if service.places else 'yellow')} {first}")
    for line in more:
        click.echo(line)


def _word(part: Part) -> str:
    """Return the state as users know it: a stopped part has not drifted."""
    return "stopped" if part.state == "drifted" and part.detail.startswith("stopped") else part.state


@click.command("list")
@output_option
def list_(*, output: str) -> None:
    """List the sandboxes of this machine.

    \b
    sandbox list
    sandbox list -o json
    """
    begin()
    from sandbox.app.known_sandboxes import sandboxes

    none = "no sandboxes; create one with: sandbox up"
    show_list(sandboxes(), output, lambda one: f"{one.name:<20} {one.cluster:<8} {one.domain}", none=none)
