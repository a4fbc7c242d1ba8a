"""`sandbox config schema`."""

from __future__ import annotations

import json

import click

from sandbox import spec
from sandbox.registry import imagelist

SCHEMAS = {"sandbox": spec.schema, "images": imagelist.schema}


@click.command("schema")
@click.argument("which", type=click.Choice(list(SCHEMAS)), default="sandbox")
def command(which: str) -> int:
    """Print the JSON Schema of a file, with which editors check and complete it.

    \b
    sandbox config schema > sandbox.schema.json
    first line of sandbox.yaml:  # yaml-language-server: $schema=sandbox.schema.json
    """
    click.echo(json.dumps(SCHEMAS[which](), indent=2))
    return 0
