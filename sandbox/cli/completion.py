"""`sandbox completion`."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

SHELLS = {
    "bash": 'eval "$(sandbox completion bash)"   in ~/.bashrc',
    "zsh": 'eval "$(sandbox completion zsh)"    in ~/.zshrc',
    "fish": "sandbox completion fish | source    in ~/.config/fish/config.fish",
}


def run(shell: str) -> int:
    """Print the script that lets a shell complete commands, options and names."""
    kind = get_completion_class(shell)
    if kind:  # one of those that click comes with
        click.echo(kind(click.Command("sandbox"), {}, "sandbox", "_SANDBOX_COMPLETE").source())
    return 0
