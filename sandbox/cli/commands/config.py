"""`sandbox config`."""

from __future__ import annotations

import click

from sandbox.cli.lazy import Lazy

TABLE = {
    "validate": ("config_validate:command", "Say whether the spec, its images and its manifests can be used."),
    "show": ("config_show:command", "Show the spec with all its defaults, and where each value is from."),
    "schema": ("config_schema:command", "Print the JSON Schema of a file, with which editors check and complete it."),
}


@click.group("config", cls=Lazy, table=TABLE)
def command() -> None:
    """Check and explain sandbox.yaml and images.yaml; touches nothing."""
