"""`sandbox status` as typed; what it does is imported when it is called."""

from __future__ import annotations

from typing import Any

import click

from sandbox.cli.options import output_option, spec_options


@click.command("status")
@spec_options
@output_option
@click.pass_context
def command(ctx: click.Context, /, **options: Any) -> Any:
    """Show how every part of a sandbox stands; exit code 1 unless all is ready.

    \b
    sandbox status
    sandbox status demo -o json
    """
    from sandbox.cli import status

    return status.run(ctx, **options)
