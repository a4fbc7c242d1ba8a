"""`sandbox list`: the sandboxes of this machine."""

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
    rows = sandboxes()
    width = max((len(row.name) for row in rows), default=0)
    lines = []
    for row in rows:
        memory = f"{row.memory / 1e9:.1f} GB" if row.memory else ""
        branch = f"  {row.branch}" if row.branch else ""
        gone = "  (the folder is gone: sandbox down --gone)" if row.gone else ""
        lines.append(fit(f"{row.name:<{width}} {row.cluster:<8} {memory:>8}  {row.domain}  {row.folder}{branch}{gone}"))
    call.show(rows, lines, none="no sandboxes; create one with: sandbox up")
