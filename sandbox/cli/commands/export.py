"""`sandbox export` as typed; what it does is imported when it is called."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from sandbox.cli.complete import sandboxes
from sandbox.cli.options import progress_option


@click.command("export")
@click.argument("folder", type=click.Path(path_type=Path))
@click.argument("name", required=False, shell_complete=sandboxes)
@progress_option
@click.pass_context
def command(ctx: click.Context, /, **options: Any) -> Any:
    """Write a sandbox as a folder that brings the same one up elsewhere.

    FOLDER gets its spec, manifests, images by digest and versions. The sandbox is the one called NAME, by default that
    of ./sandbox.yaml, as it was last brought up. Accounts and private keys are left out, which is said.

    \b
    sandbox export demo/
    sandbox up --from demo/
    sandbox bundle save demo.bundle demo     the same as one file, with all that `up` needs
    """
    from sandbox.cli import export

    return export.run(ctx, **options)
