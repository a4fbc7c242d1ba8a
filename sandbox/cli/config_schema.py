"""`sandbox config schema`."""

from __future__ import annotations

import json

import click

from sandbox.config import schema
from sandbox.images import images_yaml

SCHEMAS = {"sandbox": schema.schema, "images": images_yaml.schema}


def run(which: str) -> int:
    """Print the JSON Schema of a file, with which editors check and complete it."""
    click.echo(json.dumps(SCHEMAS[which](), indent=2))
    return 0
