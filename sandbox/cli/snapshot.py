"""`sandbox snapshot`: saves a sandbox with all its data, and restores it."""

from dataclasses import dataclass

import click

from sandbox.app.running import snapshots
from sandbox.cli import prompts
from sandbox.cli.app import Group
from sandbox.cli.options import begin, change_options, output_option, spec_options
from sandbox.cli.up import welcome
from sandbox.quantities import megabytes
from sandbox.snapshot.snapshot_store import Listed, Manifest


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """A row of `sandbox snapshot list`; `damage` is empty for none, a null of a manifest that cannot be read."""

    snapshot: str
    sandbox: str
    made: str | None
    release: str | None
    kubernetes: str | None
    bytes: int | None
    damage: str


@click.group("snapshot", cls=Group)
def snapshot() -> None:
    """Save a sandbox with all its data, and restore it."""


@snapshot.command("save")
@click.argument("snapshot", required=False)
@spec_options
@change_options()
def save(snapshot: str | None) -> None:
    """Save a sandbox, running or stopped, as SNAPSHOT (default: the present time).

    A running sandbox is paused for a few seconds. The files contain nodes, registry, certificates with keys, and the
    spec; only you can read them. docs/snapshots.md says where they are.

    \b
    sandbox snapshot save
    sandbox snapshot save before-upgrade -n demo
    """
    call = begin("stopping", "no snapshot was saved, and the sandbox is as before")
    snapshots.save(call.sandbox(), snapshot)


@snapshot.command("restore")
@click.argument("snapshot", required=False)
@spec_options
@change_options("Replace the existing sandbox without asking, also one of another file.")
def restore(snapshot: str | None) -> None:
    """Restore SNAPSHOT (default: the newest) and start it.

    It replaces the existing sandbox and its data. If it cannot be restored completely, the existing one stays.

    \b
    sandbox snapshot restore
    sandbox snapshot restore before-upgrade -n demo --yes
    """
    call = begin("stopping", "no data is lost: `sandbox start` completes the restore, or starts what was there before")
    sandbox = call.sandbox()

    def ask(manifest: Manifest) -> None:
        if not call.yes:
            warning = f"sandbox '{sandbox.name}' exists; its cluster, registry and certificates would be replaced"
            fix = f"add --yes, or save it first: sandbox snapshot save SNAPSHOT -n {sandbox.name}"
            prompts.agree(warning, (), f"replace it by '{manifest.snapshot}'?", fix=fix)

    snapshots.restore(sandbox, snapshot, ask)
    welcome(sandbox.resolved, call)


@snapshot.command("list")
@output_option(tuple[Snapshot, ...])
def list_() -> None:
    """List the snapshots of all sandboxes, with their sizes, and what is damaged.

    \b
    sandbox snapshot list
    sandbox snapshot list -o json
    """
    call = begin()
    listed = snapshots.store().listed()
    none = "no snapshots; save one with: sandbox snapshot save SNAPSHOT"
    call.show(list(map(_row, listed)), map(_line, listed), none=none)
    for snapshot in listed if call.output == "text" else ():
        if snapshot.damage:
            click.echo(f"damaged: {snapshot.damage}", err=True)
            click.echo(f"  to remove it: sandbox snapshot delete {snapshot.snapshot} -n {snapshot.sandbox}", err=True)


@snapshot.command("delete")
@click.argument("snapshot")
@spec_options
@change_options()
def delete(snapshot: str) -> None:
    """Remove a snapshot.

    \b
    sandbox snapshot delete before-upgrade
    sandbox snapshot delete before-upgrade -n demo
    """
    sandbox = begin().sandbox()
    snapshots.delete(sandbox, snapshot)
    click.echo(f"removed snapshot {snapshot} of sandbox '{sandbox.name}'", err=True)


def _line(listed: Listed) -> str:
    made, facts = "-", ""
    if listed.manifest:
        made = listed.manifest.made.astimezone().strftime("%Y-%m-%d %H:%M")
        facts = f"{megabytes(listed.manifest.bytes):>10}  {listed.manifest.kubernetes}"
    damaged = "  damaged" if listed.damage else ""
    return f"{listed.sandbox:<20} {listed.snapshot:<24} {made:<16}  {facts}{damaged}".rstrip()


def _row(listed: Listed) -> Snapshot:
    manifest = listed.manifest
    facts = manifest.model_dump(mode="json", include={"made", "release", "kubernetes"}) if manifest else {}
    shown = {"made": None, "release": None, "kubernetes": None, **facts, "bytes": manifest and manifest.bytes}
    return Snapshot(snapshot=listed.snapshot, sandbox=listed.sandbox, damage=listed.damage, **shown)
