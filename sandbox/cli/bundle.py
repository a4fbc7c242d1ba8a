"""`sandbox bundle`."""

from __future__ import annotations

import click

from sandbox.cli import environment
from sandbox.cli.console import reporter
from sandbox.cli.options import progress_option


@click.group("bundle")
def command() -> None:
    """Build the sandbox's own images and tools from package registries, where no image registry can be reached."""


@command.command("build")
@click.option("--jobs", type=click.IntRange(1, 16), default=2, help="How many components at a time.")
@progress_option
@click.pass_context
def build(ctx: click.Context, *, jobs: int, progress: str) -> int:
    """Build what is not built yet; an interrupted build goes on where it was. Needs root and Debian packages.

    The first build takes about a quarter of an hour on two cores, and a second is over at once.
    """
    environment.start_log(verbose=ctx.obj)
    environment.catch_signals()
    from sandbox.bundle.build import build as build_bundle
    from sandbox.bundle.store import Store
    from sandbox.host import files

    home = environment.home()
    files.make_private_dir(home.bundle)
    with files.exclusive(home.bundle, seconds=7200):
        build_bundle(Store(home.bundle), reporter(progress), jobs=jobs)
    return 0
