"""`sandbox export`."""

from __future__ import annotations

import time
from pathlib import Path

import click

from sandbox.api.export import export
from sandbox.cli import environment, session
from sandbox.cli.complete import sandboxes
from sandbox.cli.console import reporter
from sandbox.cli.options import progress_option


@click.command("export")
@click.argument("folder", type=click.Path(path_type=Path))
@click.argument("name", required=False, shell_complete=sandboxes)
@progress_option
@click.pass_context
def command(ctx: click.Context, folder: Path, name: str | None, *, progress: str) -> int:
    """Write a sandbox as a folder that brings the same one up elsewhere.

    FOLDER gets its spec, manifests, images by digest and versions. The sandbox is the one called NAME, by default that
    of ./sandbox.yaml, as it was last brought up. Accounts and private keys are left out, which is said.

    \b
    sandbox export demo/
    sandbox up --from demo/
    sandbox bundle save demo.bundle demo     the same as one file, with all that `up` needs
    """
    environment.start_log(verbose=ctx.obj)
    environment.catch_signals()
    spec = session.brought_up(name)
    talk, started, title = reporter(progress), time.monotonic(), f"Export of {spec.name}"
    talk.began(title)
    left_out = export(spec, folder, lambda line: talk.progress(title, line))
    talk.finished(title, str(folder), time.monotonic() - started)
    for line in left_out:
        click.echo(f"left out: {line}", err=True)
    return 0
