"""`sandbox completion`: prints the script for shells, and completes names.

Names are read from files alone: completion must not wait for an engine.
"""

import click
from click.shell_completion import CompletionItem, get_completion_class


@click.command("completion")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print the script that lets a shell complete commands.

    \b
    eval "$(sandbox completion bash)"   in ~/.bashrc
    eval "$(sandbox completion zsh)"    in ~/.zshrc
    sandbox completion fish | source    in ~/.config/fish/config.fish
    """
    kind = get_completion_class(shell)
    if kind:
        click.echo(kind(click.Command("sandbox"), {}, "sandbox", "_SANDBOX_COMPLETE").source())


def sandboxes(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    from sandbox.app import context

    home = context.home()
    folders = (home.sandboxes, home.sandbox("any").keys.parent)
    names = {place.name for folder in folders if folder.is_dir() for place in folder.iterdir() if place.is_dir()}
    return [name for name in sorted(names) if name.startswith(incomplete)]


def hosts(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    from sandbox.app import context
    from sandbox.components.edge import routes

    folder = context.home().edge
    names = {route.domain for route in routes.load(folder)} | {added.host for added in routes.ADDED_HOSTS.load(folder)}
    return [host for host in sorted(names) if host.startswith(incomplete)]


def addons(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    from sandbox.components.addons import catalogue

    names = (addon.name for addon in catalogue.included() if addon.about.instead is None)
    return [name for name in names if name.startswith(incomplete)]


def errors(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    from sandbox.advice import registry

    return [CompletionItem(id, help=about.title) for id, about in registry().items() if id.startswith(incomplete)]
