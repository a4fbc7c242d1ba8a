"""`sandbox certs show` as typed; what it does is imported when it is called."""

from __future__ import annotations

from typing import Any

import click

from sandbox.cli.options import output_option, spec_options


@click.command("show")
@spec_options
@output_option
@click.pass_context
def command(ctx: click.Context, /, **options: Any) -> Any:
    """Show root, issuing authority and leaves, their days left and where they are.

    Exit code 1 when one is missing or cannot be used.

    \b
    sandbox certs show
    sandbox certs show demo -o json
    """
    from sandbox.cli import certs_show

    return certs_show.run(ctx, **options)
