"""`sandbox proxy status` as typed; what it does is imported when it is called."""

from __future__ import annotations

from typing import Any

import click

from sandbox.cli.options import output_option


@click.command("status")
@output_option
@click.pass_context
def command(ctx: click.Context, /, **options: Any) -> Any:
    """Show every host or domain, where it leads, and how it stands there.

    Connections and bytes are counted since the last change that needed another worker, for each server that hosts
    share. Exit code 1 when the proxy does not run or a way leads to nobody.

    \b
    sandbox proxy status
    sandbox proxy status -o json
    """
    from sandbox.cli import proxy_status

    return proxy_status.run(ctx, **options)
