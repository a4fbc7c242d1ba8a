"""`sandbox images`: the registry's content and what of it nothing names, and node images that nothing uses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from sandbox.cli.groups import Group
from sandbox.cli.options import (
    begin,
    changing_option,
    dry_run_option,
    output_option,
    sandbox_of,
    spec_options,
    yes_option,
)
from sandbox.cli.output import require_terminal, show_json
from sandbox.quantities import count, megabytes

if TYPE_CHECKING:
    from sandbox.bundle.machine_node import Made
    from sandbox.images.registry_content import Catalogue


@dataclass(frozen=True, kw_only=True)
class Tag:
    """A tag of the registry; the digest is empty where its manifest is gone."""

    repository: str
    tag: str
    digest: str
    bytes: int
    unique_bytes: int
    shared_bytes: int


@dataclass(frozen=True)
class RegistryContent:
    """`sandbox images list`."""

    registry: str
    bytes: int
    images: Sequence[Tag]


@dataclass(frozen=True, kw_only=True)
class Collected:
    """`sandbox images gc`; `deleted` is false with `--dry-run`.

    `leftovers` are unfinished uploads and damaged blobs.
    """

    deleted: bool
    bytes: int
    blobs: int
    manifests: Sequence[str]
    leftovers: int


@dataclass(frozen=True)
class PrunedImage:
    """A node image of this machine; `bytes` are those that it has besides the published one that it is made of."""

    image: str
    bytes: int


@dataclass(frozen=True, kw_only=True)
class PrunedImages:
    """`sandbox images prune`; `deleted` is false with `--dry-run`, and `used` are images that stay."""

    deleted: bool
    bytes: int
    images: Sequence[PrunedImage]
    used: Sequence[str]


@click.group("images", cls=Group)
def images() -> None:
    """List and clean up the registry's images, and remove node images that nothing uses."""


@images.command("list")
@spec_options
@output_option(RegistryContent)
def list_(file: Path | None, name: str | None, *, output: str) -> None:
    """List the registry's repositories and tags, with total size and size not shared with other images.

    \b
    sandbox images list
    sandbox images list -n demo -o json
    """
    begin()
    from sandbox.app import context, machine_plan
    from sandbox.images.registry_content import catalogue
    from sandbox.oci.client import Client

    spec = sandbox_of(file, name).spec
    where = spec.registry.external or machine_plan.registry_url(spec).rpartition("/")[2]
    context.trust(spec)
    with Client(where, keychain=context.keychain(spec.credentials)) as client:
        found = catalogue(client)
    if output == "json":
        show_json(_listed(where, found))
        return
    width = max((len(f"{one.repository}:{one.tag}") for one in found.tags), default=0)
    for one in found.tags:
        digest = one.digest.removeprefix("sha256:")[:12] if one.digest else "gone"
        own = megabytes(found.unique(one))
        click.echo(
            f"{f'{one.repository}:{one.tag}':<{width}}  {digest:<12}  {megabytes(one.size):>10}  {own:>10} its own"
        )
    click.echo(f"{count(len(found.tags), 'tag')} in {where}, {megabytes(found.size)} together", err=True)


@images.command("gc")
@spec_options
@dry_run_option
@changing_option
@output_option(Collected)
def collect(file: Path | None, name: str | None, *, dry_run: bool, yes: bool, output: str) -> None:
    """Delete blobs of the registry that no tag, and no digest in the spec's `push`, names. Pushes wait; pulls work.

    Pushing another image to a tag, and deleting a tag, leave old layers behind, and pushes that broke off a part of
    one.

    \b
    sandbox images gc
    sandbox images gc -n demo
    """
    begin("stopping", "nothing that an image names is deleted; run `sandbox images gc` again to continue")
    from sandbox.app import registry_upkeep

    sandbox = sandbox_of(file, name, yes=yes)
    if not dry_run:
        click.echo(f"garbage-collecting the registry of '{sandbox.name}'", err=True)
    found = registry_upkeep.collect(sandbox, dry_run=dry_run)
    if output == "json":
        show_json(
            Collected(
                deleted=not dry_run,
                bytes=found.size,
                blobs=found.blobs,
                manifests=found.manifests,
                leftovers=found.leftovers,
            )
        )
        return
    for image in found.manifests:
        click.echo(image)
    verb = "would be" if dry_run else "was"
    rest = f", {count(found.leftovers, 'leftover')} of broken uploads" if found.leftovers else ""
    click.echo(f"{megabytes(found.size)} {verb} freed: {count(found.blobs, 'blob')}{rest}", err=True)


@images.command("prune")
@dry_run_option
@yes_option
@output_option(PrunedImages)
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
        removed = [PrunedImage(node.image, node.bytes) for node in gone]
        show_json(PrunedImages(deleted=not dry_run, bytes=size, images=removed, used=kept))
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


def _listed(where: str, found: Catalogue) -> RegistryContent:
    images = [
        Tag(
            repository=tag.repository,
            tag=tag.tag,
            digest=tag.digest or "",
            bytes=tag.size,
            unique_bytes=(own := found.unique(tag)),
            shared_bytes=tag.size - own,
        )
        for tag in found.tags
    ]
    return RegistryContent(where, found.size, images)
