"""`sandbox images`: removes node images that `up` made and nothing uses."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from sandbox.cli.groups import Group
from sandbox.cli.options import begin, output_option
from sandbox.cli.output import require_terminal, show_json
from sandbox.quantities import count, megabytes

if TYPE_CHECKING:
    from sandbox.bundle.machine_node import Made


@click.group("images", cls=Group)
def images() -> None:
    """Remove node images that `up` made of published ones and nothing uses."""


@images.command("prune")
@click.option("--dry-run", is_flag=True, help="Show what would be removed; change nothing.")
@click.option("--yes", is_flag=True, help="Remove them without asking.")
@output_option
def prune(*, dry_run: bool, yes: bool, output: str) -> None:
    """Remove the node images that your `up` made of published ones and nothing uses.

    Those of running and stopped sandboxes and of your snapshots stay. The next `up` with such nodes makes its image
    again, from the published one, which stays.

    \b
    sandbox images prune
    sandbox images prune --dry-run
    """
    begin("stopping")
    from sandbox.app import snapshots
    from sandbox.bundle import machine_node
    from sandbox.engine import Engine

    engine = Engine.connect()
    found = machine_node.made(engine, snapshots.store().images())
    gone = tuple(one for one in found if not one.used)
    kept = [one.image for one in found if one.used]
    if gone and not dry_run:
        if not yes:
            _ask(gone)
        gone = machine_node.prune(engine, gone)
    size = sum(one.bytes for one in gone)
    if output == "json":
        removed = [{"image": one.image, "bytes": one.bytes} for one in gone]
        show_json({"deleted": not dry_run, "bytes": size, "images": removed, "used": kept})
        return
    for one in gone:
        click.echo(f"{one.image}  {megabytes(one.bytes):>10}")
    verb = "would be" if dry_run else "was" if len(gone) == 1 else "were"
    used = f"; {count(len(kept), 'other')} in use" if kept else ""
    click.echo(f"{count(len(gone), 'node image')} {verb} removed, {megabytes(size)}{used}", err=True)


def _ask(unused: tuple[Made, ...]) -> None:
    """Ask before images are removed. Raises UsageError if the question cannot be asked, Abort for a no."""
    size = megabytes(sum(one.bytes for one in unused))
    said = "\n".join(f"{one.image}  {megabytes(one.bytes)}" for one in unused)
    require_terminal(
        "images prune asks before it removes node images, and stdin is not a terminal",
        details=said,
        fix="add --yes, or see them first: sandbox images prune --dry-run",
    )
    click.echo(said, err=True)
    click.confirm(f"remove {count(len(unused), 'node image')}, {size}?", err=True, abort=True)
