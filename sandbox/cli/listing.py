"""`sandbox list`: the sandboxes of this machine."""

from __future__ import annotations

import click

from sandbox.app.views.known_sandboxes import Known, sandboxes
from sandbox.cli.options import begin, output_option
from sandbox.sanitize import fit


@click.command("list")
@output_option(tuple[Known, ...])
def list_() -> None:
    """List the sandboxes of this machine.

    Each line has the state, the memory in use, the domain, and the folder and branch of the spec.

    \b
    sandbox list
    sandbox list -o json
    """
    call = begin()
    found = sandboxes()
    width = max((len(known.name) for known in found), default=0)
    call.show(found, (_line(known, width) for known in found), none="no sandboxes; create one with: sandbox up")


def _line(known: Known, width: int) -> str:
    memory = f"{known.memory / 1e9:.1f} GB" if known.memory else ""
    gone = "  (the folder is gone: sandbox down --gone)" if known.gone else ""
    branch = f"  {known.branch}" if known.branch else ""
    return fit(f"{known.name:<{width}} {known.cluster:<8} {memory:>8}  {known.domain}  {known.folder}{branch}{gone}")
