"""Groups of commands; those of the top level are imported only when called, so that help needs no imports."""

from __future__ import annotations

import importlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem


# The key of a context's `meta` for the output forms that were asked for: {"output": …, "progress": …}.
FORMS = "sandbox.forms"


class Group(click.Group):
    """A group that suggests a name for a mistyped one, and shows the whole first sentence of each command's help."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """List the names in the order in which the commands are defined."""
        return list(self.commands)

    def summary(self, ctx: click.Context, name: str) -> str:
        """Return the first paragraph of a command's help."""
        command = self.get_command(ctx, name)
        return _first_paragraph(command.help or "") if command else ""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the command that was typed; an unknown name fails with the nearest one, except in completion."""
        if (
            not ctx.resilient_parsing
            and args
            and not args[0].startswith("-")
            and self.get_command(ctx, args[0]) is None
        ):
            near = self.near(ctx, args[0])
            hint = f" Did you mean '{near}'?" if near else ""
            ctx.fail(f"No such command '{args[0]}'.{hint}")
        return super().resolve_command(ctx, args)

    def near(self, ctx: click.Context, name: str) -> str | None:
        """Return what was meant by a name that no command has, if that can be guessed."""
        import difflib

        return next(iter(difflib.get_close_matches(name, self.list_commands(ctx), n=1)), None)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the names with their summaries."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, self.summary(ctx, name)) for name in self.list_commands(ctx)])


class Lazy(Group):
    """A group over `table`: name -> MODULE:FUNCTION in `sandbox.cli`, each imported only when it is called.

    `aliases` are further names, which help and completion do not show; `elsewhere` are names of other tools' commands,
    with what does the same here.
    """

    def __init__(
        self,
        *arguments: Any,
        table: Mapping[str, str],
        aliases: Mapping[str, str],
        elsewhere: Mapping[str, str],
        **options: Any,
    ) -> None:
        super().__init__(*arguments, **options)
        self.table = table
        self.aliases = aliases
        self.elsewhere = elsewhere

    def near(self, ctx: click.Context, name: str) -> str | None:
        """Return what other tools' command is here, else the nearest name."""
        return self.elsewhere.get(name) or super().near(ctx, name)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """List the names of the table, in its order."""
        return list(self.table)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command of the table."""
        place = self.table.get(self.aliases.get(cmd_name, cmd_name))
        if place is None:
            return None
        module, _, function = place.partition(":")
        command: click.Command = getattr(importlib.import_module(f"sandbox.cli.{module}"), function)
        return command

    def summary(self, ctx: click.Context, name: str) -> str:
        """Read it from the function's source: importing all commands would take longer than showing their help."""
        module, _, function = self.table[name].partition(":")
        source = Path(__file__).with_name(f"{module}.py").read_text(encoding="utf-8")
        found = re.search(rf'^def {function}\(.*?"""(.*?)"""', source, re.DOTALL | re.MULTILINE)
        return _first_paragraph(found[1]) if found else ""

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Complete names without importing what they stand for; then options."""
        from click.shell_completion import CompletionItem

        names = [name for name in self.table if name.startswith(incomplete)]
        found = [CompletionItem(name, help=self.summary(ctx, name)) for name in names]
        return found or super().shell_complete(ctx, incomplete)


def _first_paragraph(text: str) -> str:
    return " ".join(text.strip().partition("\n\n")[0].split())
