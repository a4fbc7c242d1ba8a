"""`sandbox config schema`."""

from __future__ import annotations

import json

import click

from sandbox import spec
from sandbox.registry import imagelist

SCHEMAS = {"sandbox": spec.schema, "images": imagelist.schema}


def run(which: str) -> int:
    """Print the JSON Schema of a file, with which editors check and complete it."""
    click.echo(json.dumps(SCHEMAS[which](), indent=2))
    return 0
