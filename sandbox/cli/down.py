"""`sandbox down`: take a sandbox away."""

from __future__ import annotations

import click

from sandbox.app import chosen_spec
from sandbox.app.core import Sandbox
from sandbox.app.views import known_sandboxes
from sandbox.cli import prompts
from sandbox.cli.options import begin, call, change_options, named_spec_options
from sandbox.errors import UsageError


@click.command("down")
@named_spec_options
@click.option("--purge", is_flag=True, help="Remove the registry's data and the certificates too.")
@click.option("--gone", is_flag=True, help="Remove all sandboxes whose folder does not exist any more.")
@change_options("Do not ask about a sandbox of another file, or with --gone.")
def down(*, purge: bool, gone: bool) -> None:
    """Remove a sandbox: its containers, network, volumes and kubeconfig entries.

    The registry's data and the certificates stay for the next `up`, unless you give --purge. What pods have stored in
    their volumes is lost; `sandbox stop` keeps it.

    \b
    sandbox down
    sandbox down demo --purge
    """
    file, name = call().file, call().name
    if gone:
        if file or name:
            raise UsageError("--gone is for all sandboxes whose folder is gone", fix="leave -f and NAME out")
        _remove_gone(purge=purge)
        return
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


def _remove_gone(*, purge: bool) -> None:
    call = begin("stopping", "interrupted; run `sandbox down --gone` again to remove the rest")
    gone = [sandbox for sandbox in known_sandboxes.sandboxes() if sandbox.gone]
    if not gone:
        call.say("the folders of all sandboxes are there")
    elif not call.yes:
        shown = (f"{sandbox.name}  {sandbox.folder}" for sandbox in gone)
        prompts.agree("these sandboxes would be removed, with all data of their pods", shown)
    for sandbox in gone:
        Sandbox(chosen_spec.choose(None, sandbox.name), session=call.session).down(purge=purge)
