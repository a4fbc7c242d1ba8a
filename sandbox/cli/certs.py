"""`sandbox certs`: a table of subcommands, each imported only when called."""

from __future__ import annotations

import importlib

import click

# Where each is and what it does.
SUBCOMMANDS = {
    "show": ("certs_show:command", "Show root, issuing authority and leaves, their days left and where they are."),
    "renew": ("certs_renew:command", "Renew the leaves now and wait until they are served."),
    "export": (
        "certs_export:command",
        "Write the root for programs that read no trust store of the system. Never writes a key.",
    ),
    "trust": (
        "certs_trust:trust",
        "Let browsers and tools of this machine trust the root. Asks first; `untrust` takes everything back.",
    ),
    "untrust": (
        "certs_trust:untrust",
        "Take the root of the sandbox NAME, by default the roots of all, out of every store that `trust` put it in.",
    ),
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


@click.group("certs", cls=_Lazy)
def command() -> None:
    """Show, renew and export the sandbox's certificates, and let this machine trust them."""
