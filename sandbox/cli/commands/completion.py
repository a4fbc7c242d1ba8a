"""`sandbox completion` as typed; what it does is imported when it is called."""

from __future__ import annotations

from typing import Any

import click

from sandbox.cli.completion import SHELLS


@click.command("completion")
@click.argument("shell", type=click.Choice(list(SHELLS)))
def command(**options: Any) -> Any:
    """Print the script that lets a shell complete commands, options and names.

    \b
    eval "$(sandbox completion bash)"   in ~/.bashrc
    eval "$(sandbox completion zsh)"    in ~/.zshrc
    sandbox completion fish | source    in ~/.config/fish/config.fish
    """
    from sandbox.cli import completion

    return completion.run(**options)
