"""`sandbox proxy`: a table of subcommands, each imported only when called."""

from __future__ import annotations

import click

from sandbox.cli.lazy import Lazy

# Where each is and what it does.
SUBCOMMANDS = {
    "status": ("proxy_status:command", "Show every host or domain, where it leads, and how it stands there."),
    "url": ("proxy_url:command", "Print where hosts are found, by others on the network if they may come in."),
    "route": ("proxy_route:command", "Add, remove and list hosts that lead out of the cluster."),
}


@click.group("proxy", cls=Lazy, table=SUBCOMMANDS)
def command() -> None:
    """Show what the proxy leads where, and add or remove hosts that lead out of the cluster."""
