"""`sandbox proxy`: a table of subcommands, each imported only when called."""

from __future__ import annotations

import importlib

import click

# Where each is and what it does.
SUBCOMMANDS = {
    "status": ("proxy_status:command", "Show every host or domain, where it leads, and how it stands there."),
    "url": ("proxy_url:command", "Print where hosts are found, by others on the network if they may come in."),
    "route": ("proxy_route:command", "Add, remove and list hosts that lead out of the cluster."),
}


class _Lazy(click.Group):
    """A group whose help needs no subcommand to be imported."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(SUBCOMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in SUBCOMMANDS:
            return None
        module, _, attribute = SUBCOMMANDS[cmd_name][0].partition(":")
        command: click.Command = getattr(importlib.import_module(f"sandbox.cli.{module}"), attribute)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, summary) for name, (_, summary) in SUBCOMMANDS.items()])


@click.group("proxy", cls=_Lazy)
def command() -> None:
    """Show what the proxy leads where, and add or remove hosts that lead out of the cluster."""
