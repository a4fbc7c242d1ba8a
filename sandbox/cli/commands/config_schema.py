"""`sandbox config schema` as typed; what it does is imported when it is called."""

from __future__ import annotations

from typing import Any

import click


@click.command("schema")
@click.argument("which", type=click.Choice(["sandbox", "images"]), default="sandbox")
def command(**options: Any) -> Any:
    """Print the JSON Schema of a file, with which editors check and complete it.

    \b
    sandbox config schema > sandbox.schema.json
    first line of sandbox.yaml:  # yaml-language-server: $schema=sandbox.schema.json
    """
    from sandbox.cli import config_schema

    return config_schema.run(**options)
