"""Groups of commands; those of the top level are imported only when called, so that help needs no imports."""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Mapping
from typing import Any, NamedTuple

import click
from click.shell_completion import CompletionItem


class Group(click.Group):
    """A group that shows its commands in their order, with the whole first paragraph of each one's help."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)

    def sections(self) -> Mapping[str, Mapping[str, str]]:
        """Return the summaries of commands by the heading that help shows above them."""
        return {"Commands": {name: first_paragraph(command.help or "") for name, command in self.commands.items()}}

    def near(self, ctx: click.Context, name: str) -> str | None:
        """Return what was probably meant by a name that no command has."""
        return next(iter(difflib.get_close_matches(name, self.list_commands(ctx), n=1)), None)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if not ctx.resilient_parsing and not args[0].startswith("-") and args[0] not in self.list_commands(ctx):
            meant = self.near(ctx, args[0])
            ctx.fail(f"No such command '{args[0]}'." + (f" Did you mean '{meant}'?" if meant else ""))
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for heading, summaries in self.sections().items():
            with formatter.section(heading):
                formatter.write_dl([*summaries.items()])


class LazyCommand(NamedTuple):
    """A command at `place`, MODULE:FUNCTION in `sandbox.cli`."""

    place: str
    summary: str

    def load(self) -> click.Command:
        module, _, function = self.place.partition(":")
        command: click.Command = getattr(importlib.import_module(f"sandbox.cli.{module}"), function)
        return command


class Lazy(Group):
    """A group whose commands are imported only when they are called.

    `table` has the commands by the heading that help shows above them; `elsewhere` has names of other tools' commands,
    with what does the same here.
    """

    def __init__(
        self,
        *arguments: Any,
        table: Mapping[str, Mapping[str, LazyCommand]],
        elsewhere: Mapping[str, str],
        **options: Any,
    ) -> None:
        super().__init__(*arguments, **options)
        self._table = table
        self._elsewhere = elsewhere
        self._lazy = {name: command for section in table.values() for name, command in section.items()}

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self._lazy)

    def sections(self) -> Mapping[str, Mapping[str, str]]:
        return {
            heading: {name: command.summary for name, command in section.items()}
            for heading, section in self._table.items()
        }

    def near(self, ctx: click.Context, name: str) -> str | None:
        return self._elsewhere.get(name) or super().near(ctx, name)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        entry = self._lazy.get(cmd_name)
        return entry.load() if entry else None

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Complete names without importing what they stand for; then options."""
        items = [
            CompletionItem(name, help=command.summary)
            for name, command in self._lazy.items()
            if name.startswith(incomplete)
        ]
        return items or super().shell_complete(ctx, incomplete)


def first_paragraph(text: str) -> str:
    """Return the first paragraph of a help text, on one line."""
    return " ".join(text.strip().partition("\n\n")[0].split())
