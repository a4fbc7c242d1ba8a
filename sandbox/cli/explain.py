"""`sandbox explain`: what an error means and what helps."""

from __future__ import annotations

from dataclasses import dataclass

import click

from sandbox.cli import completion
from sandbox.cli.options import output_option
from sandbox.cli.output import show_json


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
def explain(id: str | None, *, output: str) -> None:
    """Explain an error by the id in its first line; without an id, list all.

    \b
    sandbox explain port-in-use
    """
    import difflib

    from sandbox.advice import registry
    from sandbox.errors import UsageError

    known = registry()
    if id is not None and id not in known:
        near = difflib.get_close_matches(id, known, n=1)
        raise UsageError(f"no error has the id '{id}'", fix=" ".join(("sandbox explain", *near)))
    chosen = known if id is None else {id: known[id]}
    if output == "json":
        show_json([ErrorAdvice(name, *about) for name, about in chosen.items()])
    elif id is None:
        for name, about in chosen.items():
            click.echo(f"{name:<20} {about.title}")
    else:
        click.echo("\n\n".join((f"{id}: {known[id].title}", known[id].meaning, known[id].advice)))
