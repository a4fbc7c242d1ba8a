"""`sandbox push-images` as typed; what it does is imported when it is called."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from sandbox.cli.options import output_option, progress_option
from sandbox.oci.compression import Compression


@click.command("push-images")
@click.argument("manifest", required=False, type=click.Path(path_type=Path))
@click.option("-f", "--file", type=click.Path(path_type=Path), help="The spec.  [default: ./sandbox.yaml]")
@click.option("--registry", help="host:port of the registry, or its URL.  [default: the spec's]")
@click.option("--locked", is_flag=True, help="Push exactly what the lock says, or refuse and push nothing.")
@click.option(
    "--update", is_flag=True, help="Take the images of other registries as their tags are now; renew the lock."
)
@click.option("--dry-run", is_flag=True, help="Show what would cross; change nothing, build nothing, save nothing.")
@click.option(
    "--verify",
    "check",
    is_flag=True,
    help="Read every byte back from the registry and check it; mend the sandbox's own.",
)
@click.option("--prune", is_flag=True, help="Delete the registry's tags that MANIFEST does not name, after asking.")
@click.option("--yes", is_flag=True, help="Do not ask before deleting.")
@click.option(
    "--compression",
    "packing",
    type=click.Choice([one.value for one in Compression]),
    help="Of layers the Docker Engine gives raw.  [default: the lock's, else raw on this machine, gzip elsewhere]",
)
@click.option("--fail-fast", is_flag=True, help="Stop at the first image that fails.")
@click.option("--schema", is_flag=True, help="Print the JSON Schema of MANIFEST and do nothing else.")
@output_option
@progress_option
@click.pass_context
def command(ctx: click.Context, /, **options: Any) -> Any:
    """Push the images of MANIFEST (by default the spec's `push`) into the registry; only what is missing crosses.

    The digests are kept beside it, images.lock.yaml for images.yaml, for git. Images of other registries stay at the
    digest that is locked, even when their tag has moved, until --update; images of the Docker Engine, archives, layouts
    and builds are pushed as they are, and the lock follows, which is said. With --locked nothing may differ: for CI.

    \b
    sandbox push-images
    sandbox push-images images.yaml --registry localhost:5001
    sandbox push-images --locked --verify -o json
    """
    from sandbox.cli import push_images

    return push_images.run(ctx, **options)
