"""`sandbox registry` as typed; what it does is imported when it is called."""

from __future__ import annotations

from typing import Any

import click

from sandbox.cli.options import output_option, spec_options


@click.group("registry")
def command() -> None:
    """Show what the registry holds, and take back the space of what nothing names."""


@command.command("list")
@spec_options
@output_option
@click.pass_context
def list_(ctx: click.Context, /, **options: Any) -> Any:
    """List repositories and tags with their sizes: all of it, and what no other image of the registry has.

    \b
    sandbox registry list
    sandbox registry list demo -o json
    """
    from sandbox.cli import registry

    return registry.list_(ctx, **options)


@command.command("gc")
@spec_options
@click.option("--dry-run", is_flag=True, help="Show what would go; change nothing.")
@output_option
@click.pass_context
def collect(ctx: click.Context, /, **options: Any) -> Any:
    """Delete what no tag names, nor the spec's `push` by its digest; meanwhile images can be pulled and not pushed.

    An image that was pushed again under the same tag leaves its old layers behind, and so does a deleted tag.

    \b
    sandbox registry gc
    sandbox registry gc demo
    """
    from sandbox.cli import registry

    return registry.collect(ctx, **options)
