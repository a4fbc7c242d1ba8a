"""`sandbox proxy route` as typed; what it does is imported when it is called."""

from __future__ import annotations

from typing import Any

import click

from sandbox.cli import complete
from sandbox.cli.options import output_option


@click.group("route")
def command() -> None:
    """Add, remove and list hosts that lead out of the cluster.

    \b
    sandbox proxy route add app.demo.sandbox.localhost localhost:3000
    sandbox proxy route remove app.demo.sandbox.localhost
    """


@command.command("add")
@click.argument("host")
@click.argument("upstream")
@click.option("--sandbox", "name", help="Whose authority vouches for HOST.  [default: whose domain HOST is in]")
@click.pass_context
def add(ctx: click.Context, /, **options: Any) -> Any:
    """Lead https://HOST to UPSTREAM (HOST:PORT), a server outside the cluster that speaks plain HTTP.

    The proxy is a container: a server of this machine that listens on 127.0.0.1 alone cannot be reached from there on
    Linux, so let it listen on 0.0.0.0 or on the address that is told when it does not answer.

    \b
    sandbox proxy route add api.example.test localhost:3000
    """
    from sandbox.cli import proxy_route

    return proxy_route.add(ctx, **options)


@command.command("remove")
@click.argument("host", shell_complete=complete.hosts)
@click.pass_context
def remove(ctx: click.Context, /, **options: Any) -> Any:
    """Forget HOST, which was added by `add`.

    \b
    sandbox proxy route remove api.example.test
    """
    from sandbox.cli import proxy_route

    return proxy_route.remove(ctx, **options)


@command.command("list")
@output_option
@click.pass_context
def show(ctx: click.Context, /, **options: Any) -> Any:
    """List what was added by `add`.

    \b
    sandbox proxy route list
    """
    from sandbox.cli import proxy_route

    return proxy_route.show(ctx, **options)
