"""`sandbox snapshot` as typed; what it does is imported when it is called."""

from __future__ import annotations

from typing import Any

import click

from sandbox.cli.options import output_option, progress_option, spec_options, turn_options


@click.group("snapshot")
def command() -> None:
    """Keep a sandbox with all it holds, and bring it back."""


@command.command("save")
@click.argument("snapshot", required=False)
@spec_options
@turn_options
@progress_option
@click.pass_context
def save(ctx: click.Context, /, **options: Any) -> Any:
    """Keep a sandbox, running or stopped, as SNAPSHOT, by default the time of day.

    What runs is held still for the seconds that it takes. Nodes, registry, certificates and the spec are kept in files
    that only you can read, for there are keys among them; docs/snapshots.md says where.

    \b
    sandbox snapshot save
    sandbox snapshot save before-upgrade demo
    """
    from sandbox.cli import snapshot

    return snapshot.save(ctx, **options)


@command.command("restore")
@click.argument("snapshot", required=False)
@spec_options
@click.option("--yes", is_flag=True, help="Replace the sandbox that is there, without being asked.")
@turn_options
@progress_option
@click.pass_context
def restore(ctx: click.Context, /, **options: Any) -> Any:
    """Bring SNAPSHOT back, by default the newest one, and start it.

    It takes the place of the sandbox there is, which goes with all it holds. When it cannot be brought back whole, the
    one there is stays.

    \b
    sandbox snapshot restore
    sandbox snapshot restore before-upgrade demo --yes
    """
    from sandbox.cli import snapshot

    return snapshot.restore(ctx, **options)


@command.command("list")
@output_option
@click.pass_context
def list_(ctx: click.Context, /, **options: Any) -> Any:
    """List the snapshots of all sandboxes, with their sizes.

    \b
    sandbox snapshot list
    sandbox snapshot list -o json
    """
    from sandbox.cli import snapshot

    return snapshot.list_(ctx, **options)


@command.command("delete")
@click.argument("snapshot")
@spec_options
@turn_options
@click.pass_context
def delete(ctx: click.Context, /, **options: Any) -> Any:
    """Remove a snapshot.

    \b
    sandbox snapshot delete before-upgrade
    sandbox snapshot delete before-upgrade demo
    """
    from sandbox.cli import snapshot

    return snapshot.delete(ctx, **options)
