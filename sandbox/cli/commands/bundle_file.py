"""`sandbox bundle save`, `load`, `verify` and `list` as typed; what it does is imported when it is called."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from sandbox.cli.complete import sandboxes
from sandbox.cli.options import output_option, progress_option

_file = click.argument("file", type=click.Path(path_type=Path))


@click.command("save")
@_file
@click.argument("name", required=False, shell_complete=sandboxes)
@click.option("--raw", is_flag=True, help="Do not compress: larger, and sooner done on both sides.")
@progress_option
@click.pass_context
def save(ctx: click.Context, /, **options: Any) -> Any:
    """Write one file with all that `up` needs: images, node image, tools, their digests and a bill of materials.

    With the sandbox NAME, as it was last brought up, its spec, manifests and images come along.

    The same bundle gives the same bytes each time. The bill of materials (CycloneDX, with licences) is sbom.cdx.json in
    it; SOURCE_DATE_EPOCH is the time it bears, if it is set.

    \b
    sandbox bundle save sandbox.bundle
    sandbox bundle save --raw /media/stick/sandbox.bundle
    sandbox bundle save demo.bundle demo     and elsewhere: sandbox up --from demo.bundle
    """
    from sandbox.cli import bundle_file

    return bundle_file.save(ctx, **options)


@click.command("load")
@_file
@progress_option
@click.pass_context
def load(ctx: click.Context, /, **options: Any) -> Any:
    """Take a bundle file in: what it holds is checked first, and kept whole or not at all. Needs no network.

    \b
    sandbox bundle load sandbox.bundle && sandbox up
    """
    from sandbox.cli import bundle_file

    return bundle_file.load(ctx, **options)


@click.command("verify")
@_file
@click.pass_context
def verify(ctx: click.Context, /, **options: Any) -> Any:
    """Check that nothing in a bundle file was changed and nothing is missing; what is, is named.

    It prints the bundle's identity, a digest over all digests in it: another than `save` printed is another bundle.

    \b
    sandbox bundle verify all.bundle
    """
    from sandbox.cli import bundle_file

    return bundle_file.verify(ctx, **options)


@click.command("list")
@click.argument("file", required=False, type=click.Path(path_type=Path))
@output_option
@click.pass_context
def list_(ctx: click.Context, /, **options: Any) -> Any:
    """Show what the bundle of this machine holds, or that in FILE: components with their versions and sizes.

    \b
    sandbox bundle list
    sandbox bundle list all.bundle -o json
    """
    from sandbox.cli import bundle_file

    return bundle_file.list_(ctx, **options)
