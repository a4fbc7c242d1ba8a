"""`sandbox export`: writes a sandbox as a folder that recreates it elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from sandbox.cli.options import begin, name_option, progress_option, session

if TYPE_CHECKING:
    from sandbox.app.export_project import Exported
    from sandbox.cli.prompts import Say


@click.command("export")
@click.argument("folder", type=click.Path(path_type=Path))
@name_option()
@progress_option
def export(folder: Path, name: str | None, *, progress: str) -> None:
    """Write a sandbox to a folder that recreates it elsewhere.

    FOLDER gets the spec, manifests, images by digest, and versions of the sandbox as it was last brought
    up. Accounts and private keys are left out; the command names them.

    \b
    sandbox export demo/
    sandbox up --from demo/
    sandbox bundle save demo.bundle -n demo   the same with the system
    """
    begin("stopping")
    from sandbox.app import chosen_spec, export_project

    spec = chosen_spec.brought_up(name)
    caller = session(progress)
    with caller.task(f"Export of {spec.name}") as task:
        told = export_project.export(spec, folder, task.say)
        task.done = str(folder)
    tell(told, caller.say)


def tell(told: Exported, say: Say) -> None:
    """Print what is missing elsewhere, and what must not be given to everybody."""
    for line in told.left_out:
        say(f"left out: {line}")
    for line in told.carried:
        say(f"secret included: {line}")
