"""`sandbox snapshot`: saves a sandbox with all its data, and restores it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from sandbox.cli.groups import Group
from sandbox.cli.options import (
    begin,
    changing_option,
    lock_options,
    output_option,
    progress_option,
    sandbox_of,
    spec_options,
)
from sandbox.cli.output import require_terminal, show_json
from sandbox.quantities import megabytes

if TYPE_CHECKING:
    from sandbox.snapshot.snapshot_store import Listed, Manifest


@dataclass(frozen=True)
class SnapshotPart:
    """A file of a snapshot."""

    file: str
    bytes: int
    sha256: str


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """A row of `sandbox snapshot list`; `damage` is empty for none, a null of a manifest that cannot be read."""

    snapshot: str
    sandbox: str
    made: str | None = None
    release: str | None = None
    kubernetes: str | None = None
    parts: Sequence[SnapshotPart] = ()
    bytes: int | None = None
    damage: str


@click.group("snapshot", cls=Group)
def snapshot() -> None:
    """Save a sandbox with all its data, and restore it."""


@snapshot.command("save")
@click.argument("snapshot", required=False)
@spec_options
@changing_option
@lock_options
@progress_option
def save(
    snapshot: str | None, file: Path | None, name: str | None, *, yes: bool, patience: float, progress: str
) -> None:
    """Save a sandbox, running or stopped, as SNAPSHOT (default: the present time).

    A running sandbox is paused for a few seconds. The files contain nodes, registry, certificates with keys, and the
    spec; only you can read them. docs/snapshots.md says where they are.

    \b
    sandbox snapshot save
    sandbox snapshot save before-upgrade -n demo
    """
    begin("stopping", "no snapshot was saved, and the sandbox is as before")
    from sandbox.app import snapshots

    snapshots.save(sandbox_of(file, name, yes=yes, progress=progress, patience=patience), snapshot, megabytes)


@snapshot.command("restore")
@click.argument("snapshot", required=False)
@spec_options
@click.option("--yes", is_flag=True, help="Replace the existing sandbox without asking, also one of another file.")
@lock_options
@progress_option
def restore(
    snapshot: str | None,
    file: Path | None,
    name: str | None,
    *,
    yes: bool,
    patience: float,
    progress: str,
) -> None:
    """Restore SNAPSHOT (default: the newest) and start it.

    It replaces the existing sandbox and its data. If it cannot be restored completely, the existing one stays.

    \b
    sandbox snapshot restore
    sandbox snapshot restore before-upgrade -n demo --yes
    """
    begin("stopping", "no data is lost: `sandbox start` completes the restore, or starts what was there before")
    from sandbox.app import snapshots
    from sandbox.cli.summary import welcome

    sandbox = sandbox_of(file, name, yes=yes, progress=progress, patience=patience)
    snapshots.restore(sandbox, snapshot, lambda manifest: None if yes else _ask(manifest, sandbox.name))
    welcome(sandbox.resolved, progress=progress)


@snapshot.command("list")
@output_option(tuple[Snapshot, ...])
def list_(*, output: str) -> None:
    """List the snapshots of all sandboxes, with their sizes, and what is damaged.

    \b
    sandbox snapshot list
    sandbox snapshot list -o json
    """
    begin()
    from sandbox.app import snapshots

    found = snapshots.store().listed()
    if output == "json":
        show_json([_row(one) for one in found])
        return
    if not found:
        click.echo("no snapshots; save one with: sandbox snapshot save SNAPSHOT", err=True)
    for one in found:
        click.echo(_line(one))
    for one in found:
        if one.damage:
            click.echo(f"damaged: {one.damage}", err=True)
            click.echo(f"  to remove it: sandbox snapshot delete {one.snapshot} -n {one.sandbox}", err=True)


@snapshot.command("delete")
@click.argument("snapshot")
@spec_options
@changing_option
@lock_options
def delete(snapshot: str, file: Path | None, name: str | None, *, yes: bool, patience: float) -> None:
    """Remove a snapshot.

    \b
    sandbox snapshot delete before-upgrade
    sandbox snapshot delete before-upgrade -n demo
    """
    begin()
    from sandbox.app import snapshots

    sandbox = sandbox_of(file, name, yes=yes, patience=patience)
    snapshots.delete(sandbox, snapshot)
    click.echo(f"removed snapshot {snapshot} of sandbox '{sandbox.name}'", err=True)


def _line(one: Listed) -> str:
    made, facts = "-", ""
    if one.manifest:
        made = one.manifest.made.astimezone().strftime("%Y-%m-%d %H:%M")
        facts = f"{megabytes(one.manifest.bytes):>10}  {one.manifest.kubernetes}"
    return f"{one.sandbox:<20} {one.snapshot:<24} {made:<16}  {facts}{'  damaged' if one.damage else ''}".rstrip()


def _row(one: Listed) -> Snapshot:
    """Return a snapshot as JSON; of a manifest that cannot be read nothing is known."""
    row = Snapshot(snapshot=one.snapshot, sandbox=one.sandbox, damage=one.damage)
    if one.manifest is None:
        return row
    return replace(
        row,
        made=one.manifest.model_dump(mode="json")["made"],
        release=one.manifest.release,
        kubernetes=one.manifest.kubernetes,
        parts=[SnapshotPart(part.file, part.bytes, part.sha256) for part in one.manifest.parts],
        bytes=one.manifest.bytes,
    )


def _ask(manifest: Manifest, name: str) -> None:
    """Ask before an existing sandbox is replaced. Raises UsageError if the question cannot be asked, Abort for a no."""
    warning = f"sandbox '{name}' exists; its cluster, registry and certificates would be replaced"
    require_terminal(
        warning,
        details="stdin is not a terminal; nothing was changed",
        fix=f"add --yes, or save it first: sandbox snapshot save SNAPSHOT -n {name}",
    )
    click.echo(warning, err=True)
    click.confirm(f"replace it by '{manifest.snapshot}'?", err=True, abort=True)
