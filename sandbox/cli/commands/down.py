"""`sandbox down` as typed; what it does is imported when it is called."""

from __future__ import annotations

from typing import Any

import click

from sandbox.cli.options import progress_option, spec_options, turn_options


@click.command("down")
@spec_options
@click.option("--purge", is_flag=True, help="Remove the registry's data and the certificates too.")
@turn_options
@progress_option
@click.pass_context
def command(ctx: click.Context, /, **options: Any) -> Any:
    """Take a sandbox down: its containers, network, volumes and kubeconfig entries, and nothing else.

    The registry's data and the certificates are kept for the next `up`, unless --purge.

    \b
    sandbox down
    sandbox down demo --purge
    """
    from sandbox.cli import down

    return down.run(ctx, **options)
