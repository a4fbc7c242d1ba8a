"""`sandbox init` as typed; what it does is imported when it is called."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click


@click.command("init")
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False), default=".")
@click.option("--name", help="The sandbox's name.  [default: the folder's]")
def command(**options: Any) -> Any:
    """Write a commented sandbox.yaml for this folder, from what it has; never overwrites anything.

    \b
    sandbox init              Dockerfiles, a compose file and manifests are found and put to use
    sandbox init --name shop
    """
    from sandbox.cli import init

    return init.run(**options)
