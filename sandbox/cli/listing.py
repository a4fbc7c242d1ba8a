"""`sandbox list`: the sandboxes of this machine."""

from __future__ import annotations

import click

from sandbox.app.views.known_sandboxes import Known, sandboxes
from sandbox.cli.options import begin, output_option


@click.command("list")
@output_option(tuple[Known, ...])
def list_() -> None:
    """List the sandboxes of this machine.

    \b
    sandbox list
    sandbox list -o json
    """
    call = begin()
    found = sandboxes()
    lines = (f"{known.name:<20} {known.cluster:<8} {known.domain}" for known in found)
    call.show(found, lines, none="no sandboxes; create one with: sandbox up")
