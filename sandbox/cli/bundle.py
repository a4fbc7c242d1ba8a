"""`sandbox bundle` and `sandbox export`: the system's images and tools, and a sandbox's own, to carry elsewhere."""

import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import click

from sandbox.app import chosen_spec, context
from sandbox.app.project import export_project
from sandbox.app.project.export_project import Exported
from sandbox.app.session import Task
from sandbox.bundle import bundle_load, bundle_save
from sandbox.bundle.builder import component_build
from sandbox.bundle.contents import Component
from sandbox.bundle.recipe import Recipe, recipes
from sandbox.bundle.store import Store
from sandbox.bundle.system_images import NEEDED, UPSTREAM, choose, with_kubernetes
from sandbox.cli.app import Group
from sandbox.cli.options import Call, begin, name_option, output_option, progress_option
from sandbox.engine import Engine, EngineError
from sandbox.quantities import count, megabytes
from sandbox.system import process

_file = click.argument("file", type=click.Path(path_type=Path))


@click.group("bundle", cls=Group)
def bundle() -> None:
    """Build system images and tools, and save them to one file.

    A machine without a network loads them from that file.
    """


@bundle.command("build")
@click.argument("components", nargs=-1)
@click.option("--kubernetes", metavar="VERSION", help="Build the node image of this Kubernetes, such as 1.35.")
@progress_option
def build(components: tuple[str, ...], *, kubernetes: str | None) -> None:
    """Build missing components, or only COMPONENTS; continue an interrupted build.

    The first build takes about a quarter of an hour on two cores; if nothing changed, the next one ends at once. It
    needs root, Debian packages and Go modules.

    \b
    sandbox bundle build
    sandbox bundle build kind
    sandbox bundle build --kubernetes 1.35   for cluster: {kubernetes: v1.35}
    """
    call = begin("stopping", "finished components are kept; run `sandbox bundle build` again to continue")
    if kubernetes is not None:
        components = with_kubernetes((*components, "node") if components else component_build.default(), kubernetes)
    _build(call, components)


@bundle.command("ensure")
@progress_option
def ensure() -> None:
    """Get the images and tools that `up` needs: use existing ones, else pull them, else build them.

    \b
    sandbox bundle ensure
    """
    call = begin("stopping", "finished components are kept; run `sandbox bundle ensure` again to continue")
    engine = Engine.connect()
    store = Store(context.home().bundle)
    own = choose("auto", lambda name: engine.image_id(name) is not None, store, can_pull=engine.can_pull)
    if own.source == "upstream" and engine.image_id(UPSTREAM["busybox"]) is None:
        call.say("no images here yet: trying to pull one")
        try:
            engine.pull(UPSTREAM["busybox"])
        except EngineError as error:
            call.say(f"no image registry can be reached ({error.details}); building the images instead")
            # Images of addons are built when they are needed: `up` needs none.
            _build(call, NEEDED)
    if process.which("kind") is None and sys.platform == "linux":
        _build(call, ("kind",))


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
def list_(file: Path | None) -> None:
    """List the components of this machine's bundle, or of FILE, with versions and sizes.

    \b
    sandbox bundle list
    sandbox bundle list all.bundle -o json
    """
    call = begin()
    parts: list[tuple[Component | Recipe, int | None]] = []
    if file is None:
        store = Store(context.home().bundle)
        for recipe in recipes().values():
            size = sum(path.lstat().st_size for path in store.folder(recipe).rglob("*") if path.is_file())
            parts.append((recipe, size if store.has(recipe) else None))
    else:
        with bundle_load.opened(file) as archive:
            contents = archive.contents
        parts = [(part, sum(file.size for file in contents.of(part))) for part in contents.components]
    rows = [BundleComponent(part.name, part.version, part.digest, size) for part, size in parts]
    lines = (
        f"{row.name:<24} {row.version:<10} {row.digest}  "
        f"{'not built' if row.bytes is None else megabytes(row.bytes):>10}"
        for row in rows
    )
    call.show(rows, lines)


@bundle.command("save")
@_file
@name_option("Also write this sandbox.")
@click.option("--raw", is_flag=True, help="Do not compress: a larger file, faster to save and load.")
@progress_option
def save(file: Path, *, raw: bool) -> None:
    """Write everything that `up` needs to one file: images, tools, digests and a bill of materials.

    With -n NAME, the file also contains that sandbox as it was last brought up: spec, manifests and images.

    The same bundle gives the same bytes each time. sbom.cdx.json in it is the bill of materials (CycloneDX).

    \b
    sandbox bundle save sandbox.bundle
    sandbox bundle save --raw /media/stick/sandbox.bundle
    sandbox bundle save demo.bundle -n demo   for: sandbox up --from demo.bundle
    """
    call = begin("stopping")
    with (
        _at_work(call, file) as (store, task),
        tempfile.TemporaryDirectory(prefix=".export-", dir=context.home().cache) as folder,
    ):
        exported = project = None
        if call.name is not None:
            project = call.name, Path(folder)
            exported = export_project.export(chosen_spec.brought_up(call.name), Path(folder), call.say)
        bundle_save.save(file, store, project=project, compress=not raw, on_file=task.say)
        task.done = megabytes(file.stat().st_size)
    if exported:
        _tell(exported, call.say)
    with bundle_load.opened(file) as saved:
        click.echo(f"{saved.identity}  {file}")


@bundle.command("load")
@_file
@progress_option
def load(file: Path) -> None:
    """Load a bundle file, after checking all of it. Needs no network.

    \b
    sandbox bundle load sandbox.bundle && sandbox up
    """
    with _at_work(begin("stopping"), file) as (store, task), bundle_load.opened(file) as archive:
        task.say(f"checking and unpacking {megabytes(archive.contents.size)}")
        bundle_load.load(archive, store)
        task.done = "loaded"
        click.echo(f"{archive.identity}  {file}")


@bundle.command("verify")
@_file
def verify(file: Path) -> None:
    """Check a bundle file, and name what has changed or is missing.

    It prints the bundle's identity, a digest of all its digests. Compare it with what `save` printed.

    \b
    sandbox bundle verify all.bundle
    """
    begin()
    with bundle_load.opened(file) as archive:
        faults = archive.scan(lambda _: None)
        if faults:
            raise bundle_load.damaged(archive, faults)
        contents = archive.contents
        click.echo(f"{archive.identity}  {file}")
    words = f"{count(len(contents.files), 'file')}, {megabytes(contents.size)}, for sandbox {contents.sandbox}"
    click.echo(f"{words} on {contents.architecture}: nothing changed, complete", err=True)


@click.command("export")
@click.argument("folder", type=click.Path(path_type=Path))
@name_option()
@progress_option
def export(folder: Path) -> None:
    """Write a sandbox to a folder that recreates it elsewhere.

    FOLDER gets the spec, manifests, images by digest, and versions of the sandbox as it was last brought
    up. Accounts and private keys are left out; the command names them.

    \b
    sandbox export demo/
    sandbox up --from demo/
    sandbox bundle save demo.bundle -n demo   the same with the system
    """
    call = begin("stopping")
    spec = chosen_spec.brought_up(call.name)
    with call.session.task(f"Export of {spec.name}") as task:
        exported = export_project.export(spec, folder, task.say)
        task.done = str(folder)
    _tell(exported, call.say)


def _build(call: Call, components: tuple[str, ...]) -> None:
    home = context.home()
    store = Store(home.bundle)
    outlook = component_build.outlook(store, components)
    if outlook:
        call.say(outlook)
    # Only then: another command may build for long.
    with call.session.locked(home.bundle, "the bundle", "bundle") if outlook else nullcontext():
        component_build.build(store, call.session.report, only=components)


@contextmanager
def _at_work(call: Call, file: Path) -> Iterator[tuple[Store, Task]]:
    home = context.home()
    with call.session.locked(home.bundle, "the bundle", "bundle"), call.session.task(f"Bundle {file}") as task:
        yield Store(home.bundle), task


def _tell(exported: Exported, say: Callable[[str], None]) -> None:
    for line in exported.left_out:
        say(f"left out: {line}")
    for line in exported.hosts:
        say(line)
    for line in exported.carried:
        say(f"secret included: {line}")
