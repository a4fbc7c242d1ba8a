"""The names that a shell offers for arguments, read from files alone: nobody waits for an engine while typing."""

from __future__ import annotations

import click
from click.shell_completion import CompletionItem


def sandboxes(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The sandboxes of this machine that files tell of."""
    from sandbox.cli import command_context

    home = command_context.home()
    folders = (home.sandbox("any").folder.parent, home.sandbox("any").keys.parent)
    names = {one.name for folder in folders if folder.is_dir() for one in folder.iterdir() if one.is_dir()}
    return [CompletionItem(name) for name in sorted(names) if name.startswith(incomplete)]


def hosts(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The hosts that have a route of their own at the edge, and the domains of the sandboxes."""
    from sandbox.cli import command_context
    from sandbox.components.edge import extra_routes, routes

    folder = command_context.home().edge
    known = {route.domain for route in routes.load(folder)} | {one.host for one in extra_routes.load(folder)}
    return [CompletionItem(host) for host in sorted(known) if host.startswith(incomplete)]


def addons(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The addons that come with the sandbox."""
    from sandbox.components.addons import catalogue

    known = [addon.name for addon in catalogue.included() if addon.about.instead is None]
    return [CompletionItem(name) for name in known if name.startswith(incomplete)]
