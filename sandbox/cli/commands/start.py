"""`sandbox start` as typed; what it does is imported when it is called."""

from __future__ import annotations

from typing import Any

import click

from sandbox.cli.options import output_option, progress_option, spec_options, turn_options


@click.command("start")
@spec_options
@output_option
@turn_options
@progress_option
@click.pass_context
def command(ctx: click.Context, /, **options: Any) -> Any:
    """Start a stopped sandbox as it was last brought up; ready when its hosts are answered.

    The files that it was made from are not needed: what `up` applied and pushed is in the sandbox. To have what has
    changed in them, use `sandbox up`, which starts a stopped sandbox too.

    \b
    sandbox start
    sandbox start demo
    """
    from sandbox.cli import start

    return start.run(ctx, **options)
