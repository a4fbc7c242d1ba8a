"""`sandbox list` as typed; what it does is imported when it is called."""

from __future__ import annotations

from typing import Any

import click

from sandbox.cli.options import output_option


@click.command("list")
@output_option
@click.pass_context
def command(ctx: click.Context, /, **options: Any) -> Any:
    """List the sandboxes of this machine.

    \b
    sandbox list
    sandbox list -o json
    """
    from sandbox.cli import list

    return list.run(ctx, **options)
