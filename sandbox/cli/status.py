"""`sandbox status`: the state of every component of a sandbox."""

from __future__ import annotations

from collections.abc import Iterator

import click

from sandbox.app import chosen_spec
from sandbox.app.views import sandbox_status
from sandbox.app.views.sandbox_status import SandboxStatus
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
    state = sandbox_status.read(sandbox)
    call.show(state, _lines(state))
    if call.output == "text" and not state.exists:
        click.echo(_absence(sandbox.name, called=call.name is not None, given=call.file is not None), err=True)
        sandbox.note_earlier_names()
    return 0 if state.is_ready else 1


def _absence(name: str, *, called: bool, given: bool) -> str:
    """Return what to do where nothing is: the name that the user `called` the sandbox by may be mistyped.

    Without a name, and without a file that is `given` or here, the folder may be the wrong one.
    """
    if called:
        error = chosen_spec.unknown(name)
        return f"{error.brief}; {error.fix}"
    if not given and (meant := chosen_spec.meant_here()):
        return f"there is no sandbox.yaml here; did you mean: sandbox status {meant}? create one with: sandbox up"
    return f"'{name}' is not up; create it with: sandbox up"


def _lines(status: SandboxStatus) -> Iterator[str]:
    titles = (*(step.title for step in status.steps), *(service.service for service in status.services))
    width = max(WIDTH, *map(len, titles))
    for step in status.steps:
        mark, color = MARKS[step.state]
        word = "stopped" if step.state == "drifted" and step.detail.startswith("stopped") else step.state
        detail = "" if step.detail == word else step.detail
        yield f"{click.style(mark, fg=color)} {fit(f'{step.title:<{width}} {word:<8} {detail}')}".rstrip()
    for service in status.services:
        places = ", ".join(service.places) or "no address yet"
        mark = click.style("→", fg="green" if service.places else "yellow")
        yield f"{mark} {fit(f'{service.service:<{width}} {places}, by pods as {service.name}')}"
    if status.network.open:
        yield f"{click.style('!', fg='yellow')} " + ", ".join((status.network.warning, *status.network.urls))
