"""`sandbox bundle build` and `ensure` as typed; what it does is imported when it is called."""

from __future__ import annotations

from typing import Any

import click

from sandbox.cli.options import progress_option


@click.command("build")
@click.argument("components", nargs=-1)
@click.option("--jobs", type=click.IntRange(1, 16), default=2, help="How many components at a time.")
@progress_option
@click.pass_context
def build(ctx: click.Context, /, **options: Any) -> Any:
    """Build what is not built yet, or only COMPONENTS; an interrupted build goes on where it was.

    The first build takes about twenty minutes on two cores, a second one is over at once. Needs root, Debian packages
    and Go modules.

    \b
    sandbox bundle build
    sandbox bundle build kind
    """
    from sandbox.cli import bundle_build

    return bundle_build.build(ctx, **options)


@click.command("ensure")
@progress_option
@click.pass_context
def ensure(ctx: click.Context, /, **options: Any) -> Any:
    """Make sure that `up` has its images and kind: uses what is there, else what can be pulled, else builds.

    \b
    sandbox bundle ensure
    """
    from sandbox.cli import bundle_build

    return bundle_build.ensure(ctx, **options)
