"""`sandbox addons` as typed; what it does is imported when it is called."""

from __future__ import annotations

from typing import Any

import click

from sandbox.cli import complete
from sandbox.cli.options import output_option, progress_option, spec_options


@click.group("addons")
def command() -> None:
    """List, enable and disable what else the cluster has, such as metrics-server.

    An addon is enabled by `addons` in sandbox.yaml for every cluster of that file, or by `enable` for as long as the
    present cluster is there.
    """


@command.command("list")
@spec_options
@output_option
@click.pass_context
def list_(ctx: click.Context, /, **options: Any) -> Any:
    """List the addons there are, who enabled them and how they stand.

    \b
    sandbox addons list
    sandbox addons list -o json
    """
    from sandbox.cli import addons

    return addons.list_(ctx, **options)


@command.command("enable")
@click.argument("addon", shell_complete=complete.addons)
@spec_options
@progress_option
@click.pass_context
def enable(ctx: click.Context, /, **options: Any) -> Any:
    """Install ADDON, a name that `list` shows or a folder such as ./my-addon, and keep it for this cluster's life.

    \b
    sandbox addons enable metrics-server
    sandbox addons enable ./my-addon demo
    """
    from sandbox.cli import addons

    return addons.enable(ctx, **options)


@command.command("disable")
@click.argument("addon", shell_complete=complete.addons)
@spec_options
@click.pass_context
def disable(ctx: click.Context, /, **options: Any) -> Any:
    """Take away everything that ADDON brought.

    \b
    sandbox addons disable metrics-server
    """
    from sandbox.cli import addons

    return addons.disable(ctx, **options)
