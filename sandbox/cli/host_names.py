"""`sandbox names`: lines of the hosts file for the hosts of a sandbox, for programs that do not resolve them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from sandbox.cli.completion import sandboxes
from sandbox.cli.groups import Group
from sandbox.cli.options import begin, dry_run_option, yes_option
from sandbox.cli.output import has_terminal, require_terminal

if TYPE_CHECKING:
    from sandbox.app.resolvable_names import Change


@click.group("names", cls=Group)
def names() -> None:
    """Let this machine resolve the hosts of a sandbox, by lines of its hosts file.

    Browsers, curl and most Linux systems resolve every name below localhost by themselves. Safari and other programs
    on macOS and Windows do not; and names in another domain need these lines everywhere.
    """


@names.command("install")
@click.argument("name", shell_complete=sandboxes)
@yes_option
@dry_run_option
def install(name: str, *, yes: bool, dry_run: bool) -> None:
    """Add a line for each host of NAME to the hosts file, after asking; `uninstall` removes them.

    The sandbox must be up. Lines of before are replaced. It needs root, by sudo.

    \b
    sandbox names install demo
    sandbox names install demo --dry-run
    """
    begin()
    from sandbox.app import resolvable_names

    _change(resolvable_names.install(name), yes=yes, dry_run=dry_run)


@names.command("uninstall")
@click.argument("name", required=False, shell_complete=sandboxes)
@yes_option
@dry_run_option
def uninstall(name: str | None, *, yes: bool, dry_run: bool) -> None:
    """Remove the lines of NAME, or of all sandboxes, from the hosts file.

    No other line changes. You can still run it when the sandbox is gone.

    \b
    sandbox names uninstall
    sandbox names uninstall demo --yes
    """
    begin()
    from sandbox.app import resolvable_names

    _change(resolvable_names.uninstall(name), yes=yes, dry_run=dry_run)


def _change(change: Change, *, yes: bool, dry_run: bool) -> None:
    """Show, ask, do. Raises UsageError where there is no terminal."""
    import shlex

    from sandbox.app.resolvable_names import command, perform

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
