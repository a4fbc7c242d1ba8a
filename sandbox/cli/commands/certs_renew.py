"""`sandbox certs renew` as typed; what it does is imported when it is called."""

from __future__ import annotations

from typing import Any

import click

from sandbox.cli.options import progress_option, spec_options


@click.command("renew")
@spec_options
@click.option("--authority", is_flag=True, help="Renew the issuing authority too; trust stays.")
@click.option("--root", is_flag=True, help="Renew everything; whoever trusts the old root must then trust the new one.")
@click.option("--yes", is_flag=True, help="Do not ask before the root changes.")
@progress_option
@click.pass_context
def command(ctx: click.Context, /, **options: Any) -> Any:
    """Renew the leaves now and wait until they are served.

    There is seldom need to: `sandbox up` renews what has lived two thirds of its life. A root that cannot be used is
    replaced by --authority too. A running cluster gets the new certificates without losing a connection.

    \b
    sandbox certs renew
    sandbox certs renew demo --root
    """
    from sandbox.cli import certs_renew

    return certs_renew.run(ctx, **options)
