"""`sandbox config show` as typed; what it does is imported when it is called."""

from __future__ import annotations

from typing import Any

import click

from sandbox.cli.options import output_option, spec_options


@click.command("show")
@spec_options
@output_option
def command(**options: Any) -> Any:
    """Show the spec with all its defaults, and where each value is from.

    \b
    sandbox config show
    sandbox config show demo -o json
    """
    from sandbox.cli import config_show

    return config_show.run(**options)
