"""`sandbox hosts`: lines of the hosts file for the hosts of a sandbox, for programs that do not resolve them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from sandbox.cli.groups import Group
from sandbox.cli.options import begin, dry_run_option, find_spec, name_option, spec_options, yes_option
from sandbox.cli.output import has_terminal, require_terminal

if TYPE_CHECKING:
    from sandbox.app.views.resolvable_names import Change


@click.group("hosts", cls=Group)
def hosts() -> None:
    """Let this machine resolve the hosts of a sandbox, by lines of its hosts file.

    Browsers, curl and most Linux systems resolve every name below localhost by themselves. Safari and other programs
    on macOS and Windows do not; and names in another domain need these lines everywhere.
    """


@hosts.command("install")
@spec_options
@yes_option
@dry_run_option
def install(file: Path | None, name: str | None, *, yes: bool, dry_run: bool) -> None:
    """Add a line for each host of the sandbox to the hosts file, after asking; `uninstall` removes them.

    The sandbox must be up. Lines of before are replaced. It needs root, by sudo.

    \b
    sandbox hosts install
    sandbox hosts install -n demo --dry-run
    """
    begin()
    from sandbox.app.views import resolvable_names

    _change(resolvable_names.install(find_spec(file, name).name), yes=yes, dry_run=dry_run)


@hosts.command("uninstall")
@name_option("Only the lines of this sandbox.  [default: of all]")
@yes_option
@dry_run_option
def uninstall(name: str | None, *, yes: bool, dry_run: bool) -> None:
    """Remove the lines of one sandbox, or of all, from the hosts file.

    No other line changes. You can still run it when the sandbox is gone.

    \b
    sandbox hosts uninstall
    sandbox hosts uninstall -n demo --yes
    """
    begin()
    from sandbox.app.views import resolvable_names

    _change(resolvable_names.uninstall(name), yes=yes, dry_run=dry_run)


def _change(change: Change, *, yes: bool, dry_run: bool) -> None:
    """Show, ask, do. Raises UsageError where there is no terminal."""
    import shlex

    from sandbox.app.views.resolvable_names import command, perform

    at_terminal = has_terminal()
    for line in (*change.shown, *(f"note: {note}" for note in change.notes)):
        click.echo(line, err=not dry_run)
    if not change.shown:
        click.echo("nothing to change", err=not dry_run)
        return
    click.echo(f"  $ {shlex.join(command('FILE', at_terminal=at_terminal))}", err=not dry_run)
    if dry_run:
        return
    if not yes:
        require_terminal("this asks before it changes the hosts file, and stdin is not a terminal")
        if not click.confirm("change it?", err=True):
            click.echo("nothing was changed", err=True)
            return
    perform(change, at_terminal=at_terminal)
