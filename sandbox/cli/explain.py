"""`sandbox explain`: what an error means and what helps."""

from __future__ import annotations

import difflib
from dataclasses import dataclass

import click

from sandbox.advice import registry
from sandbox.cli import completion
from sandbox.cli.options import call, output_option
from sandbox.errors import UsageError


@dataclass(frozen=True)
class ErrorAdvice:
    """What `sandbox explain` says of an error."""

    id: str
    title: str
    meaning: str
    advice: str


@click.command("explain")
@click.argument("id", required=False, shell_complete=completion.errors)
@output_option(tuple[ErrorAdvice, ...])
def explain(id: str | None) -> None:
    """Explain an error by the id in its first line; without an id, list all.

    \b
    sandbox explain port-in-use
    """
    rows = [ErrorAdvice(name, *about) for name, about in registry().items() if id in (None, name)]
    if not rows:
        near = difflib.get_close_matches(str(id), registry(), n=1)
        raise UsageError(f"no error has the id '{id}'", fix=" ".join(("sandbox explain", *near)))
    if id is None:
        call().show(rows, (f"{row.id:<20} {row.title}" for row in rows))
    else:
        call().show(rows, ("\n\n".join((f"{id}: {row.title}", row.meaning, row.advice)) for row in rows))
