"""`sandbox push-images`."""

from __future__ import annotations

import json
import time
from pathlib import Path

import click

from sandbox.cli import environment
from sandbox.cli.options import find_spec, output_option, progress_option
from sandbox.errors import SandboxError, UsageError
from sandbox.registry import imagelist
from sandbox.registry.imagelist import FromBuild, FromDaemon
from sandbox.registry.progress import Result
from sandbox.registry.push import PushFailed, push


@click.command("push-images")
@click.argument("manifest", required=False, type=click.Path(path_type=Path))
@click.option("-f", "--file", type=click.Path(path_type=Path), help="The spec.  [default: ./sandbox.yaml]")
@click.option("--registry", help="host:port of the registry.  [default: the spec's]")
@output_option
@progress_option
@click.pass_context
def command(
    ctx: click.Context, manifest: Path | None, file: Path | None, *, registry: str | None, output: str, progress: str
) -> int:
    """Push the images of MANIFEST (by default the spec's `push`) into the registry; only what is missing crosses.

    \b
    sandbox push-images
    sandbox push-images images.yaml --registry localhost:5001
    """
    environment.start_log(verbose=ctx.obj)
    environment.catch_signals()
    spec = find_spec(file, None)
    chosen = manifest or spec.push
    if chosen is None:
        raise UsageError("no manifest of images", fix="name one, or write `push: images.yaml` in sandbox.yaml")
    entries = imagelist.load(chosen)
    engine = None
    if any(isinstance(entry, FromDaemon | FromBuild) for entry in entries):
        from sandbox.host.engine import Engine

        engine = Engine.connect()
    talk = Talk(quiet=progress == "quiet")
    started = time.monotonic()
    try:
        results = push(entries, f"http://{registry or f'localhost:{spec.registry.port}'}", engine, talk)
    except PushFailed as error:
        _print(error.results, output, time.monotonic() - started)
        raise
    _print(results, output, time.monotonic() - started)
    return 0


def _print(results: tuple[Result, ...], output: str, seconds: float) -> None:
    if output == "json":
        rows = [
            {
                "image": r.target,
                "digest": r.digest,
                "action": r.action.value,
                "bytes": r.size,
                "seconds": round(r.seconds, 3),
            }
            for r in results
        ]
        click.echo(
            json.dumps({"images": rows, "bytes": sum(r.size for r in results), "seconds": round(seconds, 3)}, indent=2)
        )
        return
    for result in results:
        click.echo(f"{result.target}@{result.digest}")


class Talk:
    """A push's progress on stderr, a line an image."""

    def __init__(self, *, quiet: bool) -> None:
        self._quiet = quiet

    def planned(self, images: int, blobs: int, size: int) -> None:
        self._say(f"{images} images, {blobs} blobs, {size / 1e6:.1f} MB")

    def sent(self, size: int) -> None:
        return

    def finished(self, result: Result) -> None:
        self._say(
            f"✓ {result.target:<40} {result.action.value:<9} {result.size / 1e6:8.1f} MB  {result.seconds:5.1f} s"
        )
        for note in result.notes:
            self._say(f"  {note}")

    def failed(self, target: str, error: SandboxError) -> None:
        self._say(f"✗ {target:<40} {error.brief}")

    def _say(self, line: str) -> None:
        if not self._quiet:
            click.echo(line, err=True)
