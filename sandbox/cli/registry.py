"""`sandbox registry`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from sandbox.cli import command_context, session
from sandbox.cli.options import find_spec
from sandbox.cli.push_output import count, megabytes
from sandbox.components.registry.container_step import RegistryStep
from sandbox.config.schema import Spec
from sandbox.errors import SandboxError, UsageError
from sandbox.images import canary_image
from sandbox.images.garbage import Garbage, kept, measure
from sandbox.images.listing import Catalogue, catalogue
from sandbox.images.lockfile import LockFile
from sandbox.images.target import Target
from sandbox.oci.client import Client
from sandbox.step import State


def list_(ctx: click.Context, file: Path | None, name: str | None, *, output: str) -> int:
    """List repositories and tags with their sizes: all of it, and what no other image of the registry has."""
    command_context.start_log(verbose=ctx.obj)
    spec = find_spec(file, name)
    where = spec.registry.external or session.registry(spec).rpartition("/")[2]
    with Client(where, keychain=command_context.keychain()) as client:
        found = catalogue(client)
    if output == "json":
        click.echo(json.dumps(_listed(where, found), indent=2))
        return 0
    width = max((len(f"{one.repository}:{one.tag}") for one in found.tags), default=0)
    for one in found.tags:
        digest = one.digest.removeprefix("sha256:")[:12] if one.digest else "gone"
        own = megabytes(found.unique(one))
        click.echo(
            f"{f'{one.repository}:{one.tag}':<{width}}  {digest:<12}  {megabytes(one.size):>10}  {own:>10} its own"
        )
    click.echo(f"{count(len(found.tags), 'tag')} in {where}, {megabytes(found.size)} together", err=True)
    return 0


def collect(ctx: click.Context, file: Path | None, name: str | None, *, dry_run: bool, output: str) -> int:
    """Delete what no tag names, nor the spec's `push` by its digest; meanwhile images can be pulled and not pushed."""
    command_context.start_log(verbose=ctx.obj)
    command_context.catch_signals()
    spec = find_spec(file, name)
    with session.pushing(spec.name), session.alone(spec.name):
        found = _collect(_own_registry(spec), _targets(spec), dry_run=dry_run)
    if output == "json":
        report = {"deleted": not dry_run, "bytes": found.size, "blobs": found.blobs, "manifests": found.manifests}
        click.echo(json.dumps(report, indent=2))
        return 0
    for image in found.manifests:
        click.echo(image)
    verb = "would be" if dry_run else "was"
    click.echo(f"{megabytes(found.size)} {verb} freed: {count(found.blobs, 'blob')}", err=True)
    return 0


def _collect(step: RegistryStep, targets: Sequence[Target], *, dry_run: bool) -> Garbage:
    with Client(step.url) as client, kept(client, targets):
        found = measure(client, step.garbage())
        if found.blobs and not dry_run:
            step.collect()
        return found


def _own_registry(spec: Spec) -> RegistryStep:
    """The sandbox's own registry, which must run."""
    if spec.registry.external:
        raise UsageError(
            f"the registry {spec.registry.external} is not the sandbox's own",
            fix="let whoever runs it collect its garbage",
        )
    session.require_own_cluster(spec, "a collection of the registry's garbage")
    session.registry(spec)
    step = next(one for one in session.steps(spec)[0] if isinstance(one, RegistryStep))
    found = step.check()
    if found.state is not State.READY:
        raise SandboxError(f"the registry is not ready: {found.detail or found.state.value}", fix="sandbox up")
    return step


def _targets(spec: Spec) -> tuple[Target, ...]:
    """What is no garbage though it has no tag."""
    wanted = [entry.target for entry in LockFile.of(spec.push).entries] if spec.push else []
    return (*wanted, Target(canary_image.REPOSITORY, None, canary_image.document().digest))


def _listed(where: str, found: Catalogue) -> dict[str, Any]:
    images = [
        {
            "repository": one.repository,
            "tag": one.tag,
            "digest": one.digest,
            "bytes": one.size,
            "unique_bytes": (own := found.unique(one)),
            "shared_bytes": one.size - own,
        }
        for one in found.tags
    ]
    return {"registry": where, "bytes": found.size, "images": images}
