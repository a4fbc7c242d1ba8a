"""`sandbox config validate`."""

from __future__ import annotations

from pathlib import Path

import click

from sandbox.bundle.store import Store
from sandbox.cli import command_context
from sandbox.cli.options import written
from sandbox.cli.push_output import count
from sandbox.components.workloads import user_manifests
from sandbox.images import images_yaml


def run(file: Path | None, name: str | None) -> int:
    """Say whether the spec, its images and its manifests can be used."""
    spec = written(file, name)
    has = [f"name {spec.name}", f"domain {spec.domain}"]
    if spec.push:
        has.append(count(len(images_yaml.load(spec.push)), "image"))
    if spec.apply:
        has.append(count(len(user_manifests.load(spec.apply, Store(command_context.home().bundle))), "object"))
    click.echo(f"valid: {', '.join(has)}")
    return 0
