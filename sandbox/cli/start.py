"""`sandbox start` and `sandbox stop`: a sandbox that is not needed for a while uses no processor time and no memory."""

from __future__ import annotations

from pathlib import Path

import click

from sandbox.cli.options import begin, lock_options, output_option, progress_option, sandbox_of, spec_options


@click.command("start")
@spec_options
@output_option
@lock_options
@progress_option
@click.pass_context
def start(
    ctx: click.Context, file: Path | None, name: str | None, *, output: str, patience: float, progress: str
) -> int:
    """Start a stopped sandbox as it was last brought up; ready when its hosts are answered.

    The files that it was made from are not needed: what `up` applied and pushed is in the sandbox. To have what has
    changed in them, use `sandbox up`, which starts a stopped sandbox too.

    \b
    sandbox start
    sandbox start demo
    """
    begin(ctx, "stopping")
    from sandbox.cli.summary import welcome

    sandbox = sandbox_of(file, name, progress=progress, patience=patience)
    sandbox.start()
    welcome(sandbox.resolved, output)
    return 0


@click.command("stop")
@spec_options
@lock_options
@progress_option
@click.pass_context
def stop(ctx: click.Context, file: Path | None, name: str | None, *, patience: float, progress: str) -> int:
    """Let a sandbox rest: it uses no processor time and no memory, and keeps everything it holds.

    It stays stopped when the engine or the machine starts again, until `sandbox start` or `sandbox up`. Other sandboxes
    are served meanwhile.

    \b
    sandbox stop
    sandbox stop demo
    """
    begin(ctx, "stopping")
    sandbox = sandbox_of(file, name, progress=progress, patience=patience)
    if not sandbox.stop():
        click.echo(f"sandbox '{sandbox.name}' was not running", err=True)
    click.echo(f"start it again with: sandbox start {sandbox.name}", err=True)
    return 0
