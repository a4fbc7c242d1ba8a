"""`sandbox images`: the registry's content and what of it nothing names, and node images that nothing uses."""

from collections.abc import Sequence
from dataclasses import dataclass

import click

from sandbox.app import context, machine_plan
from sandbox.app.running import registry_upkeep, snapshots
from sandbox.bundle import machine_node
from sandbox.cli import prompts
from sandbox.cli.app import Group
from sandbox.cli.options import begin, change_options, dry_run_option, output_option, spec_options, yes_option
from sandbox.engine import Engine
from sandbox.images.registry_content import catalogue
from sandbox.oci.client import Client
from sandbox.quantities import count, megabytes


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
    registry: str
    bytes: int
    images: Sequence[Tag]


@click.group("images", cls=Group)
def images() -> None:
    """List and clean up the registry's images and unused node images."""


@images.command("list")
@spec_options
@output_option(RegistryContent)
def list_() -> None:
    """List the registry's repositories and tags, with total size and size not shared with other images.

    \b
    sandbox images list
    sandbox images list -n demo -o json
    """
    call = begin()
    spec = call.sandbox().spec
    where = spec.registry.external or machine_plan.registry_url(spec).rpartition("/")[2]
    context.trust(spec)
    with Client(where, keychain=context.keychain(spec.credentials)) as client:
        content = catalogue(client)
    tags = []
    for tag in content.tags:
        own = content.unique(tag)
        sizes = {"bytes": tag.size, "unique_bytes": own, "shared_bytes": tag.size - own}
        tags.append(Tag(repository=tag.repository, tag=tag.tag, digest=tag.digest or "", **sizes))
    width = max((len(f"{tag.repository}:{tag.tag}") for tag in tags), default=0)
    lines = (
        f"{f'{tag.repository}:{tag.tag}':<{width}}  {tag.digest.removeprefix('sha256:')[:12] or 'gone':<12}"
        f"  {megabytes(tag.bytes):>10}  {megabytes(tag.unique_bytes):>10} its own"
        for tag in tags
    )
    call.show(RegistryContent(where, content.size, tags), lines)
    if call.output == "text":
        click.echo(f"{count(len(tags), 'tag')} in {where}, {megabytes(content.size)} together", err=True)


@images.command("gc")
@spec_options
@dry_run_option
@change_options()
def collect() -> None:
    """Delete blobs of the registry that no tag, and no digest in the spec's `push`, names. Pushes wait; pulls work.

    Pushing another image to a tag, and deleting a tag, leave old layers behind, and pushes that broke off a part of
    one.

    \b
    sandbox images gc
    sandbox images gc -n demo
    """
    call = begin("stopping", "nothing that an image names is deleted; run `sandbox images gc` again to continue")
    sandbox = call.sandbox()
    if not call.dry_run:
        click.echo(f"garbage-collecting the registry of '{sandbox.name}'", err=True)
    garbage = registry_upkeep.collect(sandbox, dry_run=call.dry_run)
    for manifest in garbage.manifests:
        click.echo(manifest)
    verb = "would be" if call.dry_run else "was"
    rest = f", {count(garbage.leftovers, 'leftover')} of broken uploads" if garbage.leftovers else ""
    click.echo(f"{megabytes(garbage.size)} {verb} freed: {count(garbage.blobs, 'blob')}{rest}", err=True)


@images.command("prune")
@dry_run_option
@yes_option()
def prune() -> None:
    """Remove the node images that your `up` made of published ones and nothing uses.

    Those of running and stopped sandboxes and of your snapshots stay. The next `up` with such nodes makes its image
    again, from the published one, which stays.

    \b
    sandbox images prune
    sandbox images prune --dry-run
    """
    call = begin("stopping")
    engine = Engine.connect()
    made = machine_node.made(engine, snapshots.store().images())
    unused = tuple(node for node in made if not node.used)
    if unused and not call.dry_run:
        if not call.yes:
            shown = [f"{node.image}  {megabytes(node.bytes)}" for node in unused]
            fix = "add --yes, or see them first: sandbox images prune --dry-run"
            prompts.agree("node images would be removed", shown, f"remove {count(len(unused), 'node image')}?", fix=fix)
        unused = machine_node.prune(engine, unused)
    for node in unused:
        click.echo(f"{node.image}  {megabytes(node.bytes):>10}")
    verb = "would be removed" if call.dry_run else "removed"
    size = megabytes(sum(node.bytes for node in unused))
    in_use = count(sum(node.used for node in made), "other")
    click.echo(f"{count(len(unused), 'node image')} {verb}, {size}; {in_use} in use", err=True)
