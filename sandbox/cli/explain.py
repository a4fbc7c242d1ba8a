"""`sandbox explain`: what an error means and what helps."""

import difflib

import click

from sandbox.advice import registry
from sandbox.cli import completion
from sandbox.errors import UsageError


@click.command("explain")
@click.argument("id", required=False, shell_complete=completion.errors)
def explain(id: str | None) -> None:
    """Explain an error by its id; without an id, list all.

    \b
    sandbox explain port-in-use
    """
    errors = registry()
    if id is None:
        for name, about in errors.items():
            click.echo(f"{name:<20} {about.title}")
    elif id in errors:
        about = errors[id]
        click.echo("\n\n".join((f"{id}: {about.title}", about.meaning, about.advice)))
    else:
        near = difflib.get_close_matches(id, errors, n=1)
        raise UsageError(f"no error has the id '{id}'", fix=" ".join(("sandbox explain", *near)))
