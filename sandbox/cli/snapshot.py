"""`sandbox snapshot`."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import click

from sandbox.app import context
from sandbox.cli import command_context, session, start
from sandbox.cli.console import reporter
from sandbox.cli.options import find_spec
from sandbox.cli.push_output import megabytes
from sandbox.cli.summary import welcome
from sandbox.components.cluster.kind import provider as kind_provider
from sandbox.engine import Engine
from sandbox.errors import SandboxError, UsageError
from sandbox.names import Names
from sandbox.report import Reporter
from sandbox.snapshot.snapshot_save import Saving
from sandbox.snapshot.snapshot_store import Manifest, Store


def save(
    ctx: click.Context, snapshot: str | None, file: Path | None, name: str | None, *, patience: float, progress: str
) -> int:
    """Keep a sandbox, running or stopped, as SNAPSHOT, by default the time of day."""
    command_context.start_log(verbose=ctx.obj)
    command_context.catch_signals()
    spec = find_spec(file, name)
    session.require_own_cluster(spec, "a snapshot")
    names = command_context.home().sandbox(spec.name)
    chosen = snapshot or datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
    with session.alone(names.name, patience=patience, progress=progress):
        engine = Engine.connect()
        saving = Saving(engine=engine, names=names, store=_store(), nodes=kind_provider.nodes(engine, names).all())
        title, talk, started = f"Snapshot {chosen} of {names.name}", reporter(progress), time.monotonic()
        with _telling(talk, title):
            made = saving.save(chosen, lambda line: talk.progress(title, line))
        talk.finished(title, megabytes(made.bytes), time.monotonic() - started)
    return 0


def restore(
    ctx: click.Context,
    snapshot: str | None,
    file: Path | None,
    name: str | None,
    *,
    yes: bool,
    patience: float,
    progress: str,
) -> int:
    """Bring SNAPSHOT back, by default the newest one, and start it."""
    command_context.start_log(verbose=ctx.obj)
    command_context.catch_signals()
    home, wanted = command_context.home(), find_spec(file, name)
    session.require_own_cluster(wanted, "a snapshot")
    names = home.sandbox(wanted.name)
    with session.alone(names.name, patience=patience, progress=progress):
        engine, store = Engine.connect(), _store()
        manifest = store.find(names.name, snapshot)
        _agree(manifest, engine, names, yes=yes)
        title, talk, started = f"Snapshot {manifest.snapshot} of {names.name}", reporter(progress), time.monotonic()
        with _telling(talk, title):
            context.restoring(names, engine).restore(manifest, lambda line: talk.progress(title, line))
        talk.finished(title, "brought back", time.monotonic() - started)
        spec = start.bring(names.name, talk)
    welcome(spec, home)
    return 0


def list_(ctx: click.Context, *, output: str) -> int:
    """List the snapshots of all sandboxes, with their sizes."""
    command_context.start_log(verbose=ctx.obj)
    found = _store().all()
    if output == "json":
        keys = {"snapshot", "sandbox", "made", "release", "kubernetes", "parts"}
        rows = [{**one.model_dump(mode="json", include=keys), "bytes": one.bytes} for one in found]
        click.echo(json.dumps(rows, indent=2))
        return 0
    for one in found:
        made = one.made.astimezone().strftime("%Y-%m-%d %H:%M")
        click.echo(f"{one.sandbox:<20} {one.snapshot:<24} {made}  {megabytes(one.bytes):>10}  {one.kubernetes}")
    return 0


def delete(ctx: click.Context, snapshot: str, file: Path | None, name: str | None, *, patience: float) -> int:
    """Remove a snapshot."""
    command_context.start_log(verbose=ctx.obj)
    sandbox = find_spec(file, name).name
    with session.alone(sandbox, patience=patience):
        _store().delete(sandbox, snapshot)
    click.echo(f"removed snapshot {snapshot} of sandbox '{sandbox}'", err=True)
    return 0


@contextmanager
def _telling(talk: Reporter, title: str) -> Iterator[None]:
    talk.began(title)
    try:
        yield
    except SandboxError as error:
        talk.failed(title, error.brief)
        raise


def _store() -> Store:
    return Store(command_context.home().snapshots)


def _agree(manifest: Manifest, engine: Engine, names: Names, *, yes: bool) -> None:
    """Ask before a sandbox that is there goes. Raises UsageError without an answer, Abort for a no."""
    there = kind_provider.nodes(engine, names).all() or engine.volume_labels(names.volume) is not None
    if not there or yes:
        return
    warning = f"sandbox '{names.name}' is there; its cluster, registry and certificates would be replaced"
    if not sys.stdin.isatty():
        raise UsageError(
            warning,
            details="here is no terminal to ask at; nothing was changed",
            fix=f"add --yes, or keep it first: sandbox snapshot save SNAPSHOT {names.name}",
            id="consent",
        )
    click.echo(warning, err=True)
    click.confirm(f"bring '{manifest.snapshot}' back in its place?", err=True, abort=True)
