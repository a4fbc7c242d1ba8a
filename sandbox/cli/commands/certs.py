"""`sandbox certs`: a table of subcommands, each imported only when called."""

from __future__ import annotations

import click

from sandbox.cli.lazy import Lazy

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


@click.group("certs", cls=Lazy, table=SUBCOMMANDS)
def command() -> None:
    """Show, renew and export the sandbox's certificates, and let this machine trust them."""
