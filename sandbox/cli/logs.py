"""`sandbox logs`: an archive for a report."""

from __future__ import annotations

import time
from pathlib import Path

import click

from sandbox.cli.options import begin, find_spec, spec_options
from sandbox.errors import UsageError
from sandbox.quantities import count


@click.command("logs")
@spec_options
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    help="The archive.  [default: ./sandbox-NAME-TIME.tar.gz]",
)
def logs(file: Path | None, name: str | None, *, output: Path | None) -> None:
    """Collect logs, states and settings in one archive without secrets, also of a broken sandbox.

    What programs write is shown by `kubectl logs -f deploy/PROGRAM`, and of all of them by `sandbox dev`.

    \b
    sandbox logs                    the sandbox in this folder
    sandbox logs demo -o demo.tar.gz
    """
    begin()
    from sandbox.app.diagnosis import PATIENT, context_of
    from sandbox.app.known_sandboxes import require_known
    from sandbox.support_bundle import support_archive

    if name is not None:
        try:
            require_known(name)
        except UsageError as error:
            error.fix += f"; what a program writes is shown by: kubectl logs deploy/{name}"
            raise
    spec = find_spec(file, name)
    path = output or Path(f"sandbox-{spec.name}-{time.strftime('%Y%m%d-%H%M%S')}.tar.gz")
    support_archive.require_absent(path)
    files = support_archive.make(path, spec, context_of(spec, file=file, name=name, seconds=PATIENT))
    click.echo(path)
    click.echo(f"{count(files, 'file')}, secrets removed; check it before you share it", err=True)
