"""`sandbox dashboard` as typed; what it does is imported when it is called."""

from __future__ import annotations

from typing import Any

import click

from sandbox.cli.options import spec_options


@click.command("dashboard")
@spec_options
@click.option("--port", type=click.IntRange(1, 65535), help="The port of the page.  [default: a free one]")
@click.option("--browser/--no-browser", default=None, help="Open it in the browser.  [default: where there is one]")
@click.pass_context
def command(ctx: click.Context, /, **options: Any) -> Any:
    """Show every sandbox on a page of this machine, live and read only, until Ctrl-C.

    The page is served on 127.0.0.1, to whoever has the address with its token. Steps are shown of the sandbox whose
    spec is given or in this folder.

    \b
    sandbox dashboard
    """
    from sandbox.cli import dashboard

    return dashboard.run(ctx, **options)
