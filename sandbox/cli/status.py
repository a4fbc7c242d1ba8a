"""`sandbox status`: the state of every component of a sandbox."""

from __future__ import annotations

from collections.abc import Iterator

import click

from sandbox.app import chosen_spec
from sandbox.app.edge.edge_ports import Reached
from sandbox.app.views import sandbox_status
from sandbox.app.views.sandbox_status import SandboxStatus, StepState
from sandbox.cli.options import begin, named_spec_options, output_option
from sandbox.sanitize import fit

MARKS = {
    "ready": ("✓", "green"),
    "drifted": ("!", "yellow"),
    "stale": ("!", "red"),
    "absent": ("·", "white"),
    "unseen": ("·", "white"),
}
WIDTH = 40  # of the first column, unless one of its names is longer


@click.command("status")
@named_spec_options
@output_option(SandboxStatus)
def status() -> int:
    """Show the state of every component, and where Services are reached; exit code 1 unless all are ready.

    A Service is listed if it has a port of this machine or an address as a load balancer.

    \b
    sandbox status
    sandbox status demo -o json
    """
    call = begin()
    sandbox = call.sandbox()
    found = sandbox_status.read(sandbox)
    call.show(found, _lines(found))
    if call.output == "text" and not found.exists:
        click.echo(_absence(sandbox.name, called=call.name is not None, given=call.file is not None), err=True)
        sandbox.note_earlier_names()
    return 0 if found.is_ready else 1


def _absence(name: str, *, called: bool, given: bool) -> str:
    """Say what to do where nothing is: the name may be mistyped, if the user `called` the sandbox by it.

    Without that, and without a file that is `given` or here, the folder may be the wrong one.
    """
    if called:
        error = chosen_spec.unknown(name)
        return f"{error.brief}; {error.fix}"
    if not given and (meant := chosen_spec.meant_here()):
        return f"there is no sandbox.yaml here; did you mean: sandbox status {meant}? create one with: sandbox up"
    return f"'{name}' is not up; create it with: sandbox up"


def _lines(found: SandboxStatus) -> Iterator[str]:
    titles = (*(step.title for step in found.steps), *(service.service for service in found.services))
    width = max(WIDTH, *map(len, titles))
    for step in found.steps:
        yield _step_line(step, width)
    for service in found.services:
        yield _service_line(service, width)
    if found.network.open:
        yield f"{click.style('!', fg='yellow')} " + ", ".join((found.network.warning, *found.network.urls))


def _step_line(step: StepState, width: int) -> str:
    mark, color = MARKS[step.state]
    word = "stopped" if step.state == "drifted" and step.detail.startswith("stopped") else step.state
    detail = "" if step.detail == word else step.detail
    return f"{click.style(mark, fg=color)} {fit(f'{step.title:<{width}} {word:<8} {detail}')}".rstrip()


def _service_line(service: Reached, width: int) -> str:
    """Return where a Service is reached, and its name for pods."""
    places = ", ".join(service.places) or "no address yet"
    mark = click.style("→", fg="green" if service.places else "yellow")
    return f"{mark} {fit(f'{service.service:<{width}} {places}, by pods as {service.name}')}"
