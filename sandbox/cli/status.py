"""`sandbox status` and `sandbox list`: the state of a sandbox's components, and the sandboxes of this machine."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sandbox.cli.options import begin, named_spec_options, output_option, sandbox_of
from sandbox.cli.output import laid_out, show_json, show_list

if TYPE_CHECKING:
    from sandbox.app.edge_ports import Reached
    from sandbox.app.views.sandbox_status import SandboxStatus, StepState

MARKS = {
    "ready": ("✓", "green"),
    "drifted": ("!", "yellow"),
    "stale": ("!", "red"),
    "absent": ("·", "white"),
    "unseen": ("·", "white"),
}
WIDTH = 40  # of the first column, unless one of its names is longer


def _status() -> Any:
    from sandbox.app.views.sandbox_status import SandboxStatus

    return SandboxStatus


def _known() -> Any:
    from sandbox.app.views.known_sandboxes import Known

    return tuple[Known, ...]


@click.command("status")
@named_spec_options
@output_option(_status)
def status(file: Path | None, name: str | None, *, output: str) -> int:
    """Show the state of every component, and where Services are reached; exit code 1 unless all are ready.

    A Service is listed if it has a port of this machine or an address as a load balancer.

    \b
    sandbox status
    sandbox status demo -o json
    """
    begin()
    from sandbox.app.views import sandbox_status

    sandbox = sandbox_of(file, name)
    found = sandbox_status.read(sandbox)
    if output == "json":
        show_json(found)
    else:
        _show(found)
        if not found.exists:
            click.echo(_absence(sandbox.name, called=name is not None, given=file is not None), err=True)
            sandbox.note_earlier_names()
    return 0 if found.is_ready else 1


@click.command("list")
@output_option(_known)
def list_(*, output: str) -> None:
    """List the sandboxes of this machine.

    \b
    sandbox list
    sandbox list -o json
    """
    begin()
    from sandbox.app.views.known_sandboxes import sandboxes

    none = "no sandboxes; create one with: sandbox up"
    show_list(sandboxes(), output, lambda one: f"{one.name:<20} {one.cluster:<8} {one.domain}", none=none)


def _absence(name: str, *, called: bool, given: bool) -> str:
    """Say what to do where nothing is: the name may be mistyped, if the user `called` the sandbox by it.

    Without that, and without a file that is `given` or here, the folder may be the wrong one.
    """
    from sandbox.app import chosen_spec

    if called:
        error = chosen_spec.unknown(name)
        return f"{error.brief}; {error.fix}"
    if not given and (meant := chosen_spec.meant_here()):
        return f"there is no sandbox.yaml here; did you mean: sandbox status {meant}? create one with: sandbox up"
    return f"'{name}' is not up; create it with: sandbox up"


def _show(found: SandboxStatus) -> None:
    titles = (*(step.title for step in found.steps), *(service.service for service in found.services))
    width = max(WIDTH, *map(len, titles))
    for step in found.steps:
        _show_step(step, width)
    for service in found.services:
        _show_service(service, width)
    if found.network.open:
        click.echo(f"{click.style('!', fg='yellow')} " + ", ".join((found.network.warning, *found.network.urls)))


def _show_step(step: StepState, width: int) -> None:
    mark, color = MARKS[step.state]
    word = "stopped" if step.state == "drifted" and step.detail.startswith("stopped") else step.state
    first, *more = laid_out(f"{step.title:<{width}} {word:<8}", "" if step.detail == word else step.detail)
    click.echo("\n".join((f"{click.style(mark, fg=color)} {first}", *more)))


def _show_service(service: Reached, width: int) -> None:
    """Print where a Service is reached, and its name for pods."""
    places = ", ".join(service.places) or "no address yet"
    first, *more = laid_out(f"{service.service:<{width}}", f"{places}, by pods as {service.name}")
    click.echo("\n".join((f"{click.style('→', fg='green' if service.places else 'yellow')} {first}", *more)))
