"""`sandbox addons`: what else a cluster has, and what it can have."""

from collections.abc import Iterator, Sequence

import click

from sandbox.app.running import addon_changes
from sandbox.app.running.addon_changes import Row
from sandbox.cli import completion
from sandbox.cli.app import Group
from sandbox.cli.options import begin, change_options, output_option, spec_options


@click.group("addons", cls=Group)
def addons() -> None:
    """List, enable and disable cluster addons such as metrics-server.

    `addons` in sandbox.yaml enables an addon in every cluster of that file; `enable` enables it in the present cluster
    only.
    """


@addons.command("list")
@spec_options
@output_option(tuple[Row, ...])
def list_() -> None:
    """List all addons by topic, who enabled them, and their state, size and URL.

    The size is that of a chart's images, which is known once they were fetched. The real images of an addon marked
    `untested` never ran in a sandbox.

    \b
    sandbox addons list
    sandbox addons list -o json
    """
    call = begin()
    rows = addon_changes.listed(call.sandbox())
    call.show(rows, _lines(rows))


def _lines(rows: Sequence[Row]) -> Iterator[str]:
    width = max(len(row.name) for row in rows)
    for topic in sorted({row.topic for row in rows}):
        yield f"{topic}:"
        for row in (row for row in rows if row.topic == topic):
            state = f"{row.state} ({row.by})" if row.by else row.state
            about = f"{row.about} (untested)" if row.untested else row.about
            size = "?" if row.size is None else f"{row.size / 1e6:.0f} MB"  # of a chart that was never fetched: ?
            size = "" if row.version is None else size
            yield f"  {row.name:<{width}}  {state:<16}  {size:>7}  {about}"
            yield from (f"  {'':<{width}}  {line}" for line in (row.detail, row.url) if line)


@addons.command("enable")
@click.argument("addon", shell_complete=completion.addons)
@spec_options
@change_options()
def enable(addon: str) -> None:
    """Install ADDON in this cluster: a name from `list`, or a folder such as ./my-addon.

    It waits until the addon is ready, and prints the URL of its page.

    \b
    sandbox addons enable grafana
    sandbox addons enable ./my-addon -n demo
    """
    call = begin("stopping", "changes of this run are rolled back; run it again to enable the addon")
    for line in addon_changes.enable(call.sandbox(), addon):
        click.echo(line)


@addons.command("disable")
@click.argument("addon", shell_complete=completion.addons)
@spec_options
@change_options()
def disable(addon: str) -> None:
    """Remove ADDON and everything it created.

    \b
    sandbox addons disable metrics-server
    """
    addon_changes.disable(begin("stopping", "run it again to remove the rest").sandbox(), addon)
