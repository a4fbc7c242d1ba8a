"""`sandbox down`: take a sandbox away."""

from __future__ import annotations

import click

from sandbox.app import chosen_spec
from sandbox.cli.options import begin, call, change_options, named_spec_options


@click.command("down")
@named_spec_options
@click.option("--purge", is_flag=True, help="Remove the registry's data and the certificates too.")
@change_options()
def down(*, purge: bool) -> None:
    """Remove a sandbox: its containers, network, volumes and kubeconfig entries.

    The registry's data and the certificates stay for the next `up`, unless you give --purge. What pods have stored in
    their volumes is lost; `sandbox stop` keeps it.

    \b
    sandbox down
    sandbox down demo --purge
    """
    file, name = call().file, call().name
    again = " ".join(("sandbox down", *((name,) if name else ()), *(("--purge",) if purge else ())))
    sandbox = begin("stopping", f"interrupted; run `{again}` again to remove the rest").sandbox()
    if not sandbox.down(purge=purge):
        hint = "" if name is None else "; list all with: sandbox list"
        if name is None and file is None and (meant := chosen_spec.meant_here()):
            hint = f"; there is no sandbox.yaml here, did you mean: sandbox down {meant}?"
        sandbox.session.say(f"'{sandbox.name}' has nothing to remove{hint}")
        sandbox.note_earlier_names()
    elif not purge:
        sandbox.session.say(f"kept: {sandbox.lasting} (remove them with --purge)")
