"""`sandbox dashboard`: serves a page that shows all sandboxes of this machine."""

from __future__ import annotations

import click

from sandbox.cli.options import begin, spec_options
from sandbox.cli.output import has_desktop
from sandbox.dashboard.watch import watch


@click.command("dashboard")
@spec_options
@click.option("--port", type=click.IntRange(1, 65535), help="The port of the page.  [default: a free one]")
@click.option("--browser/--no-browser", default=None, help="Open the page in a browser.  [default: if there is one]")
def dashboard(*, port: int | None, browser: bool | None) -> None:
    """Serve a live page of all sandboxes, until Ctrl-C.

    The page is on 127.0.0.1 and needs the address with its token. It shows pods' logs and restarts workloads. Steps are
    those of the sandbox whose spec you give or that is in this folder.

    \b
    sandbox dashboard
    """
    open_browser = has_desktop() if browser is None else browser
    with watch(begin().sandbox(), port=port or 0) as page:
        click.echo(page.url)
        if open_browser and (trouble := page.open_in_browser()):
            click.echo(
                f"open this address yourself: the page that forwards to it cannot be written ({trouble})", err=True
            )
        page.serve()
