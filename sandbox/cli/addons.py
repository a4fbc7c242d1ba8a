"""`sandbox addons`: what else a cluster has, and what it can have."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sandbox.cli import completion
from sandbox.cli.groups import Group
from sandbox.cli.options import begin, changing_option, output_option, progress_option, sandbox_of, spec_options
from sandbox.cli.output import laid_out, show_json

if TYPE_CHECKING:
    from sandbox.app.addon_changes import Row


def _rows() -> Any:
    from sandbox.app.addon_changes import Row

    return tuple[Row, ...]


@click.group("addons", cls=Group)
def addons() -> None:
    """List, enable and disable cluster addons such as metrics-server.

    `addons` in sandbox.yaml enables an addon in every cluster of that file; `enable` enables it in the present cluster
    only.
    """


@addons.command("list")
@spec_options
@output_option(_rows)
def list_(file: Path | None, name: str | None, *, output: str) -> None:
    """List all addons by topic, who enabled them, and their state, size and URL.

    The size is that of a chart's images, which is known once they were fetched. The real images of an addon marked
    `untested` never ran in a sandbox.

    \b
    sandbox addons list
    sandbox addons list -o json
    """
    begin()
    from sandbox.app import addon_changes

    rows = addon_changes.listed(sandbox_of(file, name))
    if output == "json":
        show_json(rows)
        return
    width = max(len(row.name) for row in rows)
    for topic in sorted({row.topic for row in rows}):
        click.echo(f"{topic}:")
        for row in (row for row in rows if row.topic == topic):
            by = f" ({row.by})" if row.by else ""
            head = f"{row.name:<{width}}  {row.state + by:<16}  {_size(row):>7} "
            first, *rest = laid_out(head, f"{row.about} (untested)" if row.untested else row.about)
            click.echo("\n".join((f"  {first}", *rest)))
            for line in filter(None, (row.detail, row.url)):
                click.echo(f"  {'':<{width}}  {line}")


def _size(row: Row) -> str:
    """Return the size of an addon's images; what has a chart and no size was never fetched."""
    if row.version is None:
        return ""
    return "?" if row.size is None else f"{row.size / 1e6:.0f} MB"


@addons.command("enable")
@click.argument("addon", shell_complete=completion.addons)
@spec_options
@changing_option
@progress_option
def enable(addon: str, file: Path | None, name: str | None, *, yes: bool, progress: str) -> None:
    """Install ADDON in this cluster: a name from `list`, or a folder such as ./my-addon.

    It waits until the addon is ready, and prints the URL of its page.

    \b
    sandbox addons enable grafana
    sandbox addons enable ./my-addon -n demo
    """
    begin("stopping", "changes of this run are rolled back; run it again to enable the addon")
    from sandbox.app import addon_changes

    enabled = addon_changes.enable(sandbox_of(file, name, yes=yes, progress=progress), addon)
    for line in filter(None, (enabled.url, *enabled.instructions)):
        click.echo(line)


@addons.command("disable")
@click.argument("addon", shell_complete=completion.addons)
@spec_options
@changing_option
@progress_option
def disable(addon: str, file: Path | None, name: str | None, *, yes: bool, progress: str) -> None:
    """Remove ADDON and everything it created.

    \b
    sandbox addons disable metrics-server
    """
    begin("stopping", "run it again to remove the rest")
    from sandbox.app import addon_changes

    addon_changes.disable(sandbox_of(file, name, yes=yes, progress=progress), addon)
