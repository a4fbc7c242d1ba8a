"""`sandbox bundle`: the sandbox's own images and tools, made on this machine or carried as one file."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from sandbox.cli.groups import Group
from sandbox.cli.options import begin, name_option, output_option, progress_option, session
from sandbox.cli.output import note, show_json
from sandbox.quantities import count, megabytes

if TYPE_CHECKING:
    from sandbox.app.session import Task
    from sandbox.bundle.contents import Component
    from sandbox.bundle.recipe import Recipe
    from sandbox.bundle.store import Store

PATIENCE = 7200.0  # seconds; a build of everything may have to end first
_file = click.argument("file", type=click.Path(path_type=Path))


@click.group("bundle", cls=Group)
def bundle() -> None:
    """Build the system images and tools; save them to one file for machines without a network."""


@bundle.command("build")
@click.argument("components", nargs=-1)
@click.option("--kubernetes", metavar="VERSION", help="Build the node image of this Kubernetes, such as 1.35.")
@click.option("--architecture", metavar="NAME", help="Build for machines of amd64 or arm64.  [default: this machine's]")
@progress_option
def build(
    components: tuple[str, ...],
    *,
    kubernetes: str | None,
    architecture: str | None,
    progress: str,
) -> None:
    """Build missing components, or only COMPONENTS; continue an interrupted build.

    The first build takes about a quarter of an hour on two cores; if nothing changed, the next one ends at once. It
    needs root, Debian packages and Go modules.

    For another architecture, only components made of Go modules are built. The others are named: build them on such a
    machine, after copying the printed folder there. On macOS, kind, helm, buildx and kubectl are built for macOS.

    \b
    sandbox bundle build
    sandbox bundle build kind
    sandbox bundle build --kubernetes 1.35   for cluster: {kubernetes: v1.35}
    sandbox bundle build --architecture arm64 kind etcd
    """
    begin("stopping", "finished components are kept; run `sandbox bundle build` again to continue")
    if kubernetes is not None:
        from sandbox.bundle.builder.component_build import default
        from sandbox.bundle.system_images import with_kubernetes

        components = with_kubernetes((*components, "node") if components else default(), kubernetes)
    _build(progress, components, architecture)


@bundle.command("ensure")
@progress_option
def ensure(*, progress: str) -> None:
    """Get the images and tools that `up` needs: use existing ones, else pull them, else build them.

    \b
    sandbox bundle ensure
    """
    begin("stopping", "finished components are kept; run `sandbox bundle ensure` again to continue")
    from sandbox.app import context
    from sandbox.bundle.store import Store
    from sandbox.bundle.system_images import NEEDED, UPSTREAM, choose
    from sandbox.engine import Engine, EngineError
    from sandbox.system import process

    engine = Engine.connect()
    store = Store(context.home().bundle)
    own = choose("auto", lambda name: engine.image_id(name) is not None, store, can_pull=engine.can_pull)
    if own.source == "upstream" and engine.image_id(UPSTREAM["busybox"]) is None:
        note(progress, "no images here yet: trying to pull one")
        try:
            engine.pull(UPSTREAM["busybox"])
        except EngineError as error:
            note(progress, f"no image registry can be reached ({error.details}); building the images instead")
            # Images of addons are built when they are needed: `up` needs none.
            _build(progress, NEEDED)
    if process.which("kind") is None and sys.platform == "linux":
        _build(progress, ("kind",))


@dataclass(frozen=True)
class BundleComponent:
    """A component of the bundle; `bytes` are null while it is not built."""

    name: str
    version: str
    digest: str
    bytes: int | None


@bundle.command("list")
@click.argument("file", required=False, type=click.Path(path_type=Path))
@output_option(tuple[BundleComponent, ...])
def list_(file: Path | None, *, output: str) -> None:
    """List the components of this machine's bundle, or of FILE, with versions and sizes.

    \b
    sandbox bundle list
    sandbox bundle list all.bundle -o json
    """
    begin()
    from sandbox.app import context
    from sandbox.bundle.bundle_load import opened
    from sandbox.bundle.recipe import recipes
    from sandbox.bundle.store import Store

    if file is None:
        store = Store(context.home().bundle)
        rows = [_row(one, _size(store.folder(one)) if store.has(one) else None) for one in recipes().values()]
    else:
        with opened(file) as found:
            contents = found.contents
        rows = [_row(one, sum(part.size for part in contents.of(one))) for one in contents.components]
    if output == "json":
        show_json(rows)
        return
    for row in rows:
        size = "not built" if row.bytes is None else megabytes(row.bytes)
        click.echo(f"{row.name:<24} {row.version:<10} {row.digest}  {size:>10}")


@bundle.command("save")
@_file
@name_option("Also write this sandbox.")
@click.option("--raw", is_flag=True, help="Do not compress: a larger file, faster to save and load.")
@progress_option
def save(file: Path, name: str | None, *, raw: bool, progress: str) -> None:
    """Write everything that `up` needs to one file: images, tools, digests and a bill of materials.

    With -n NAME, the file also contains that sandbox as it was last brought up: spec, manifests and images.

    The same bundle gives the same bytes each time. sbom.cdx.json in it is the bill of materials (CycloneDX, with
    licences); its time is SOURCE_DATE_EPOCH, if set.

    \b
    sandbox bundle save sandbox.bundle
    sandbox bundle save --raw /media/stick/sandbox.bundle
    sandbox bundle save demo.bundle -n demo   for: sandbox up --from demo.bundle
    """
    begin("stopping")
    from sandbox.bundle import bundle_save
    from sandbox.bundle.bundle_load import opened

    with _at_work(file, progress) as (store, task), _exported(name, progress, task.say) as project:
        bundle_save.save(file, store, project=project, compress=not raw, epoch=_epoch(), on_file=task.say)
        task.done = megabytes(file.stat().st_size)
    with opened(file) as saved:
        click.echo(f"{saved.identity}  {file}")


@bundle.command("load")
@_file
@progress_option
def load(file: Path, *, progress: str) -> None:
    """Load a bundle file, after checking all of it. Needs no network.

    \b
    sandbox bundle load sandbox.bundle && sandbox up
    """
    begin("stopping")
    from sandbox.bundle import bundle_load

    with _at_work(file, progress) as (store, task), bundle_load.opened(file) as found:
        task.say(f"checking and unpacking {megabytes(found.contents.size)}")
        bundle_load.load(found, store)
        task.done = "loaded"
        click.echo(f"{found.identity}  {file}")


@bundle.command("verify")
@_file
def verify(file: Path) -> None:
    """Check a bundle file, and name what has changed or is missing.

    It prints the bundle's identity, a digest of all its digests. Compare it with what `save` printed.

    \b
    sandbox bundle verify all.bundle
    """
    begin()
    from sandbox.bundle import bundle_load

    with bundle_load.opened(file) as found:
        faults = found.scan(lambda _: None)
        if faults:
            raise bundle_load.damaged(found, faults)
        contents = found.contents
        click.echo(f"{found.identity}  {file}")
    words = f"{count(len(contents.files), 'file')}, {megabytes(contents.size)}, for sandbox {contents.sandbox}"
    click.echo(f"{words} on {contents.architecture}: nothing changed, complete", err=True)


def _build(progress: str, components: tuple[str, ...], architecture: str | None = None) -> None:
    from sandbox.app import context
    from sandbox.bundle.architecture import named, native
    from sandbox.bundle.builder import component_build
    from sandbox.bundle.store import Store

    home = context.home()
    target = named(architecture) if architecture else native()
    store = Store(home.bundle).across(target)
    caller = session(progress, PATIENCE)
    if said := component_build.outlook(store, components):
        caller.say(said)
    with caller.locked(home.bundle, "the bundle", "bundle") if said else nullcontext():  # another may build for long
        component_build.build(store, caller.report, only=components)
    if target != native():
        caller.say(f"built in {store.root}, for {home.bundle} there")
        if not components:
            caller.say(f"a machine of {target.name} has to build: {', '.join(component_build.native_only())}")


def _row(component: Component | Recipe, size: int | None) -> BundleComponent:
    return BundleComponent(component.name, component.version, component.digest, size)


def _size(folder: Path) -> int:
    return sum(path.lstat().st_size for path in folder.rglob("*") if path.is_file())


def _epoch() -> int | None:
    """Return the time for reproducible builds (reproducible-builds.org, SOURCE_DATE_EPOCH)."""
    from sandbox.errors import UsageError

    text = os.environ.get("SOURCE_DATE_EPOCH")
    if text is None:
        return None
    if not text.isdecimal():
        raise UsageError(f"SOURCE_DATE_EPOCH is {text!r}, not a number of seconds since 1970")
    return int(text)


@contextmanager
def _exported(name: str | None, progress: str, say: Callable[[str], None]) -> Iterator[tuple[str, Path] | None]:
    """Yield the sandbox NAME, exported to a folder for the length of the block, or nothing without a name."""
    if name is None:
        yield None
        return
    from sandbox.app import chosen_spec, context
    from sandbox.app.export_project import export
    from sandbox.cli.export import tell

    with tempfile.TemporaryDirectory(prefix=".export-", dir=context.home().cache) as folder:
        told = export(chosen_spec.brought_up(name), Path(folder), say)
        yield name, Path(folder)
    tell(told, partial(note, progress))


@contextmanager
def _at_work(file: Path, progress: str) -> Iterator[tuple[Store, Task]]:
    from sandbox.app import context
    from sandbox.bundle.store import Store

    home, caller = context.home(), session(progress, PATIENCE)
    with caller.locked(home.bundle, "the bundle", "bundle"), caller.task(f"Bundle {file}") as task:
        yield Store(home.bundle), task
