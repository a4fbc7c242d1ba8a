"""`sandbox hosts`: lines of the hosts file for the hosts of a sandbox, for programs that do not resolve them."""

import shlex

import click

from sandbox.app.views import resolvable_names
from sandbox.app.views.resolvable_names import Change
from sandbox.cli import output, prompts
from sandbox.cli.app import Group
from sandbox.cli.options import Call, begin, dry_run_option, name_option, spec_options, yes_option


@click.group("hosts", cls=Group)
def hosts() -> None:
    """Let this machine resolve the hosts of a sandbox, in its hosts file.

    Browsers, curl and most Linux systems resolve every name below localhost by themselves. Safari and other programs
    on macOS and Windows do not; and names in another domain need these lines everywhere.
    """


@hosts.command("install")
@spec_options
@yes_option()
@dry_run_option
def install() -> None:
    """Add a line for each host of the sandbox to the hosts file, after asking; `uninstall` removes them.

    The sandbox must be up. Lines of before are replaced. It needs root, by sudo.

    \b
    sandbox hosts install
    sandbox hosts install -n demo --dry-run
    """
    call = begin()
    _change(call, resolvable_names.install(call.spec().name))


@hosts.command("uninstall")
@name_option("Only the lines of this sandbox.  [default: of all]")
@yes_option()
@dry_run_option
def uninstall() -> None:
    """Remove the lines of one sandbox, or of all, from the hosts file.

    No other line changes. You can still run it when the sandbox is gone.

    \b
    sandbox hosts uninstall
    sandbox hosts uninstall -n demo --yes
    """
    call = begin()
    _change(call, resolvable_names.uninstall(call.name))


def _change(call: Call, change: Change) -> None:
    at_terminal = output.has_terminal()
    lines = [*change.shown, *(f"note: {note}" for note in change.notes)]
    if change.shown:
        lines.append(f"  $ {shlex.join(resolvable_names.command('FILE', at_terminal=at_terminal))}")
    else:
        lines.append("nothing to change")
    if call.dry_run or call.yes or not change.shown:
        click.echo("\n".join(lines), err=not call.dry_run)
    else:
        prompts.agree("the hosts file would change", lines, "change it?")
    if change.shown and not call.dry_run:
        resolvable_names.perform(change, at_terminal=at_terminal)
