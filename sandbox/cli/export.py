"""`sandbox export`: writes a sandbox as a folder that recreates it elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import click

from sandbox.app import chosen_spec
from sandbox.app.project import export_project
from sandbox.app.project.export_project import Exported
from sandbox.cli.options import begin, name_option, progress_option


@click.command("export")
@click.argument("folder", type=click.Path(path_type=Path))
@name_option()
@progress_option
def export(folder: Path) -> None:
    """Write a sandbox to a folder that recreates it elsewhere.

    FOLDER gets the spec, manifests, images by digest, and versions of the sandbox as it was last brought
    up. Accounts and private keys are left out; the command names them.

    \b
    sandbox export demo/
    sandbox up --from demo/
    sandbox bundle save demo.bundle -n demo   the same with the system
    """
    call = begin("stopping")
    spec = chosen_spec.brought_up(call.name)
    with call.session.task(f"Export of {spec.name}") as task:
        exported = export_project.export(spec, folder, task.say)
        task.done = str(folder)
    tell(exported, call.say)


def tell(exported: Exported, say: Callable[[str], None]) -> None:
    """Print what is missing elsewhere, and what must not be given to everybody."""
    for line in exported.left_out:
        say(f"left out: {line}")
    for line in exported.hosts:
        say(line)
    for line in exported.carried:
        say(f"secret included: {line}")
