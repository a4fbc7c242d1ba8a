"""`sandbox registry`: lists the registry's content, and garbage-collects unreferenced blobs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sandbox.cli.groups import Group
from sandbox.cli.options import begin, changing_option, output_option, sandbox_of, spec_options
from sandbox.cli.output import show_json
from sandbox.quantities import count, megabytes

if TYPE_CHECKING:
    from sandbox.images.registry_content import Catalogue


@click.group("registry", cls=Group)
def registry() -> None:
    """List the registry's images, and garbage-collect unreferenced blobs."""


@registry.command("list")
@spec_options
@output_option
def list_(file: Path | None, name: str | None, *, output: str) -> None:
    """List repositories and tags, with total size and size not shared with other images.

    \b
    sandbox registry list
    sandbox registry list demo -o json
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


@registry.command("gc")
@spec_options
@click.option("--dry-run", is_flag=True, help="Show what would be deleted; change nothing.")
@changing_option
@output_option
def collect(file: Path | None, name: str | None, *, dry_run: bool, yes: bool, output: str) -> None:
    """Delete blobs that no tag, and no digest in the spec's `push`, names. Pushes wait; pulls work.

    Pushing another image to a tag, and deleting a tag, leave old layers behind, and pushes that broke off a part of
    one.

    \b
    sandbox registry gc
    sandbox registry gc demo
    """
    begin("stopping", "nothing that an image names is deleted; run `sandbox registry gc` again to continue")
    from sandbox.app import registry_upkeep

    sandbox = sandbox_of(file, name, yes=yes)
    if not dry_run:
        click.echo(f"garbage-collecting the registry of '{sandbox.name}'", err=True)
    found = registry_upkeep.collect(sandbox, dry_run=dry_run)
    if output == "json":
        freed = {"bytes": found.size, "blobs": found.blobs}
        show_json({"deleted": not dry_run, **freed, "manifests": found.manifests, "leftovers": found.leftovers})
        return
    for image in found.manifests:
        click.echo(image)
    verb = "would be" if dry_run else "was"
    rest = f", {count(found.leftovers, 'leftover')} of broken uploads" if found.leftovers else ""
    click.echo(f"{megabytes(found.size)} {verb} freed: {count(found.blobs, 'blob')}{rest}", err=True)


def _listed(where: str, found: Catalogue) -> dict[str, Any]:
    images = [
        {
            "repository": one.repository,
            "tag": one.tag,
            "digest": one.digest or "",
            "bytes": one.size,
            "unique_bytes": (own := found.unique(one)),
            "shared_bytes": one.size - own,
        }
        for one in found.tags
    ]
    return {"registry": where, "bytes": found.size, "images": images}
