"""A group of commands as a table, each imported only when called, so that help and completion cost no imports."""

from __future__ import annotations

import gc
import importlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem


# How many new objects are looked through for garbage at a time; most commands end before there are so many.
OBJECTS = 50_000
# Where a context's `meta` has the forms that the command line asked for: {"output": …, "progress": …}.
FORMS = "sandbox.forms"


class Lazy(click.Group):
    """A click group over `table`: name -> where the command is (`MODULE:ATTRIBUTE` in cli.commands), and a summary."""

    def __init__(self, *arguments: Any, table: Mapping[str, tuple[str, str]], **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.table = table

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.table)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self.table:
            return None
        module, _, attribute = self.table[cmd_name][0].partition(":")
        gc.disable()  # what imports make is there to stay; to look through it again and again takes its time
        command: click.Command = getattr(importlib.import_module(f"sandbox.cli.commands.{module}"), attribute)
        gc.freeze()
        gc.enable()
        gc.set_threshold(OBJECTS)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in self.table and not args[0].startswith("-"):
            import difflib

            near = difflib.get_close_matches(args[0], self.table, n=1)
            hint = f" Did you mean '{near[0]}'?" if near else ""
            ctx.fail(f"No such command '{args[0]}'.{hint}")
        return super().resolve_command(ctx, args)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """The names that begin so, without importing what they are; then options."""
        from click.shell_completion import CompletionItem

        found = [CompletionItem(name, help=summary) for name, (_, summary) in self.table.items()]
        return [item for item in found if item.value.startswith(incomplete)] or super().shell_complete(ctx, incomplete)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, summary) for name, (_, summary) in self.table.items()])
