"""The help of every command."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import click

from sandbox.cli import certs
from sandbox.cli.app import sandbox
from sandbox.components.certificates.export_formats import FORMATS
from sandbox.truststore.change import Kind


def helps(command: click.Command, parent: click.Context | None = None) -> Iterator[str]:
    """The help of a command and of all below it."""
    context = click.Context(command, info_name=command.name, parent=parent)
    yield command.get_help(context)
    if isinstance(command, click.Group):
        for below in map(partial(command.get_command, context), command.list_commands(context)):
            assert below
            yield from helps(below, context)


def test_help_of_every_command_fits_80_columns() -> None:
    lines = [line for text in helps(sandbox) for line in text.splitlines()]
    assert [line for line in lines if len(line) > 80] == []
    assert len(lines) > 500


def test_choices_that_are_written_out_are_those_there_are() -> None:
    choices = (
        (certs.export, tuple(FORMATS)),
        (certs.trust, tuple(one.value for one in Kind)),
    )
    for command, there in choices:
        assert any(tuple(getattr(one.type, "choices", ())) == there for one in command.params), command.name
