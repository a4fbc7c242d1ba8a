"""Groups of commands; those of the top level are imported only when called, so that help needs no imports."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import click

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem


# The key of a context's `meta` for the output forms that were asked for: {"output": …, "progress": …}.
FORMS = "sandbox.forms"


class Group(click.Group):
    """A group that suggests a name for a mistyped one, and shows the whole first sentence of each command's help."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)

    def summary(self, ctx: click.Context, name: str) -> str:
        """Return the first paragraph of a command's help."""
        command = self.get_command(ctx, name)
        return first_paragraph(command.help or "") if command else ""

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
        with formatter.section("Commands"):
            formatter.write_dl([(name, self.summary(ctx, name)) for name in self.list_commands(ctx)])


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

    `sections` are the commands by the heading that help shows above them; `elsewhere` are names of other tools'
    commands, with what does the same here.
    """

    def __init__(
        self,
        *arguments: Any,
        sections: Mapping[str, Mapping[str, LazyCommand]],
        elsewhere: Mapping[str, str],
        **options: Any,
    ) -> None:
        super().__init__(*arguments, **options)
        self.sections = sections
        self.table = {name: command for section in sections.values() for name, command in section.items()}
        self.elsewhere = elsewhere

    def near(self, ctx: click.Context, name: str) -> str | None:
        return self.elsewhere.get(name) or super().near(ctx, name)

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.table)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        entry = self.table.get(cmd_name)
        return entry.load() if entry else None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for heading, commands in self.sections.items():
            with formatter.section(heading):
                formatter.write_dl([(name, command.summary) for name, command in commands.items()])

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Complete names without importing what they stand for; then options."""
        from click.shell_completion import CompletionItem

        items = [
            CompletionItem(name, help=command.summary)
            for name, command in self.table.items()
            if name.startswith(incomplete)
        ]
        return items or super().shell_complete(ctx, incomplete)


def first_paragraph(text: str) -> str:
    """Return the first paragraph of a help text, on one line."""
    return " ".join(text.strip().partition("\n\n")[0].split())
