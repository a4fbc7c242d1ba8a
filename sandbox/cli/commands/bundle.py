"""`sandbox bundle`: a table of commands, imported only when called."""

from __future__ import annotations

import click

from sandbox.cli.lazy import Lazy

TABLE = {
    "build": ("bundle_build:build", "Build what is not built yet, or only COMPONENTS."),
    "ensure": ("bundle_build:ensure", "Make sure that `up` has its images and kind."),
    "list": ("bundle_file:list_", "Show what the bundle of this machine, or the file FILE, holds."),
    "save": ("bundle_file:save", "Write one file with all that `up` needs, for machines without network."),
    "load": ("bundle_file:load", "Take a bundle file in; after it, `up` needs no network."),
    "verify": ("bundle_file:verify", "Check that nothing in a bundle file was changed, and that nothing is missing."),
}


@click.group("bundle", cls=Lazy, table=TABLE)
def command() -> None:
    """The sandbox's own images and tools: build them, carry them as one file to machines without network."""
