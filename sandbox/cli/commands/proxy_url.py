"""`sandbox proxy url` as typed; what it does is imported when it is called."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click


@click.command("url")
@click.argument("host", required=False)
@click.option("-f", "--file", type=click.Path(path_type=Path), help="The spec.  [default: ./sandbox.yaml, if any]")
@click.option("--sandbox", "name", help="The sandbox, in place of a spec.")
@click.option("--qr", is_flag=True, help="Show each as a QR code too, for a phone on this machine's network.")
@click.pass_context
def command(ctx: click.Context, /, **options: Any) -> Any:
    """Print the URL of HOST, or of every host of the sandbox.

    Where others than this machine may come in (proxy.listen), they are the URLs for those. A phone has to trust the
    sandbox's root certificate first, or to be told to go on.

    \b
    sandbox proxy url app.demo.sandbox.localhost --sandbox demo --qr
    """
    from sandbox.cli import proxy_url

    return proxy_url.run(ctx, **options)
