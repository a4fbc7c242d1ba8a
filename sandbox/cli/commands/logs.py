"""`sandbox logs` as typed; what it does is imported when it is called."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from sandbox.cli.options import spec_options


@click.command("logs")
@spec_options
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    help="The archive.  [default: ./sandbox-NAME-TIME.tar.gz]",
)
@click.pass_context
def command(ctx: click.Context, /, **options: Any) -> Any:
    """Gather logs, states and settings in one archive for a report, without secrets; works on a broken sandbox too.

    \b
    sandbox logs                    the sandbox in this folder
    sandbox logs demo -o demo.tar.gz
    """
    from sandbox.cli import logs

    return logs.run(ctx, **options)
