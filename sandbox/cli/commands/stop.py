"""`sandbox stop` as typed; what it does is imported when it is called."""

from __future__ import annotations

from typing import Any

import click

from sandbox.cli.options import progress_option, spec_options, turn_options


@click.command("stop")
@spec_options
@turn_options
@progress_option
@click.pass_context
def command(ctx: click.Context, /, **options: Any) -> Any:
    """Let a sandbox rest: it uses no processor time and no memory, and keeps everything it holds.

    It stays stopped when the engine or the machine starts anew, until `sandbox start` or `sandbox up`. Other sandboxes
    are served meanwhile.

    \b
    sandbox stop
    sandbox stop demo
    """
    from sandbox.cli import stop

    return stop.run(ctx, **options)
