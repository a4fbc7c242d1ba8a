"""`sandbox open`: the page of a host in the browser."""

from __future__ import annotations

import webbrowser

import click

from sandbox.app.views.overview import host_urls
from sandbox.cli import completion
from sandbox.cli.options import begin, spec_options
from sandbox.cli.output import has_desktop


@click.command("open")
@click.argument("host", required=False, shell_complete=completion.hosts)
@spec_options
def open_page(host: str | None) -> None:
    """Open the page of HOST (default: the sandbox's first host) in the browser, and print its URL.

    Without a screen, or in a pipe, only the URL is printed.

    \b
    sandbox open
    sandbox open app.demo.sandbox.localhost
    """
    url = host_urls(begin().spec().name, host, for_others=False)[0]
    click.echo(url)
    if has_desktop():
        webbrowser.open(url)
