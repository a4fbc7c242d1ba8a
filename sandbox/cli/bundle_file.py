"""`sandbox bundle save`, `load`, `verify` and `list`: the bundle as one file that can be carried."""

from __future__ import annotations

import json
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from sandbox.app import consent
from sandbox.app.export_project import export
from sandbox.bundle import bundle_load
from sandbox.bundle.bundle_load import opened
from sandbox.bundle.bundle_save import save as save_bundle
from sandbox.bundle.contents import Component, Contents
from sandbox.bundle.recipe import recipes
from sandbox.bundle.store import Store
from sandbox.cli import command_context, session
from sandbox.cli.console import reporter
from sandbox.cli.export import tell
from sandbox.cli.push_output import count, megabytes
from sandbox.errors import SandboxError, UsageError
from sandbox.system import files

PATIENCE = 7200.0  # a build of everything may have to end first


def save(ctx: click.Context, file: Path, name: str | None, *, raw: bool, progress: str) -> int:
    """Write one file with all that `up` needs: images, node image, tools, their digests and a bill of materials."""
    command_context.start_log(verbose=ctx.obj)
    command_context.catch_signals()

    def done() -> str:
        return megabytes(file.stat().st_size)

    with _at_work(f"Bundle {file}", progress, done) as (store, say), _exported(name, say) as project:
        save_bundle(file, store, project=project, compress=not raw, epoch=_epoch(), on_file=say)
    with opened(file) as bundle:
        click.echo(f"{bundle.identity}  {file}")
    return 0


def load(ctx: click.Context, file: Path, *, progress: str) -> int:
    """Take a bundle file in: what it holds is checked first, and kept whole or not at all. Needs no network."""
    command_context.start_log(verbose=ctx.obj)
    command_context.catch_signals()
    with _at_work(f"Bundle {file}", progress, lambda: "loaded") as (store, say), opened(file) as bundle:
        say(f"checking and unpacking {megabytes(bundle.contents.size)}")
        bundle_load.load(bundle, store)
        consent.note_components(command_context.home(), bundle.identity)
        click.echo(f"{bundle.identity}  {file}")
    return 0


def verify(ctx: click.Context, file: Path) -> int:
    """Check that nothing in a bundle file was changed and nothing is missing; what is, is named."""
    command_context.start_log(verbose=ctx.obj)
    with opened(file) as bundle:
        faults = bundle.scan(lambda _: None)
        if faults:
            raise bundle_load.damaged(bundle, faults)
        contents = bundle.contents
        click.echo(f"{bundle.identity}  {file}")
    words = f"{count(len(contents.files), 'file')}, {megabytes(contents.size)}, for sandbox {contents.sandbox}"
    click.echo(f"{words} on {contents.architecture}: nothing changed, nothing missing", err=True)
    return 0


def list_(ctx: click.Context, file: Path | None, *, output: str) -> int:
    """Show what the bundle of this machine holds, or that in FILE: components with their versions and sizes."""
    command_context.start_log(verbose=ctx.obj)
    if file is None:
        rows = _built(Store(command_context.home().bundle))
    else:
        with opened(file) as bundle:
            rows = [_row(one, bundle.contents) for one in bundle.contents.components]
    if output == "json":
        click.echo(json.dumps(rows, indent=2))
        return 0
    for row in rows:
        size = megabytes(row["bytes"]) if isinstance(row["bytes"], int) else "not built"
        click.echo(f"{row['name']:<24} {row['version']:<10} {row['digest']}  {size:>10}")
    return 0


def _row(one: Component, contents: Contents) -> dict[str, str | int | None]:
    size = sum(file.size for file in contents.of(one))
    return {"name": one.name, "version": one.version, "digest": one.digest, "bytes": size}


def _built(store: Store) -> list[dict[str, str | int | None]]:
    rows: list[dict[str, str | int | None]] = []
    for one in recipes().values():
        folder = store.folder(one)
        size = sum(path.lstat().st_size for path in folder.rglob("*") if path.is_file()) if store.has(one) else None
        rows.append({"name": one.name, "version": one.version, "digest": one.digest, "bytes": size})
    return rows


def _epoch() -> int | None:
    """The time that reproducible builds are to bear (reproducible-builds.org, SOURCE_DATE_EPOCH)."""
    text = os.environ.get("SOURCE_DATE_EPOCH")
    if text is None:
        return None
    if not text.isdigit():
        raise UsageError(f"SOURCE_DATE_EPOCH is {text!r}, not a number of seconds since 1970")
    return int(text)


@contextmanager
def _exported(name: str | None, say: Callable[[str], None]) -> Iterator[tuple[str, Path] | None]:
    """The sandbox NAME as a folder for the length of the block, if one is named."""
    if name is None:
        yield None
        return
    with tempfile.TemporaryDirectory(prefix=".export-", dir=command_context.home().cache) as folder:
        told = export(session.brought_up(name), Path(folder), say)
        yield name, Path(folder)
    tell(told)


@contextmanager
def _at_work(title: str, progress: str, done: Callable[[], str]) -> Iterator[tuple[Store, Callable[[str], None]]]:
    """The bundle's cache, which nobody else changes meanwhile, and where to say how far the work is."""
    home, report, started = command_context.home(), reporter(progress), time.monotonic()
    files.make_private_dir(home.bundle)
    with files.exclusive(home.bundle, seconds=PATIENCE):
        report.began(title)
        try:
            yield Store(home.bundle), lambda line: report.progress(title, line)
        except SandboxError as error:
            report.failed(title, error.brief)
            raise
    report.finished(title, done(), time.monotonic() - started)
