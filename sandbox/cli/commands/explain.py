"""`sandbox explain` as typed; what it does is imported when it is called."""

from __future__ import annotations

from typing import Any

import click

from sandbox.cli.options import output_option


@click.command("explain")
@click.argument("id", required=False)
@output_option
def command(**options: Any) -> Any:
    """Say what an error means and what helps, by the id in its first line; without one, list them.

    \b
    sandbox explain port-in-use
    """
    from sandbox.cli import explain

    return explain.run(**options)
