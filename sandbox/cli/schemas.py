"""The JSON Schemas of what commands print with `-o json`, of errors, and of the events of `--progress json`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click
from pydantic import TypeAdapter

from sandbox.cli.app import sandbox
from sandbox.cli.error_handler import Failure
from sandbox.cli.options import OutputOption
from sandbox.cli.output import Event

DIALECT = "https://json-schema.org/draft/2020-12/schema"
OTHERS: Mapping[str, Any] = {"error": Failure, "event": Event}


def names() -> tuple[str, ...]:
    return (*sorted(_results(sandbox)), *OTHERS)


def schema(name: str) -> dict[str, Any]:
    """Return the schema of the result of the command `name`, of an `error`, or of an `event`. Raises KeyError."""
    title = f"sandbox: an {name}" if name in OTHERS else f"sandbox {name} -o json"
    result = OTHERS[name] if name in OTHERS else _results(sandbox)[name]
    return {"$schema": DIALECT, "title": title, **_plain(TypeAdapter(result).json_schema(mode="serialization"))}


def _results(command: click.Command, *words: str) -> dict[str, Any]:
    results = {" ".join(words): param.result for param in command.params if isinstance(param, OutputOption)}
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            if child := command.get_command(context, name):
                results |= _results(child, *words, name)
    return results


def _plain(node: Any) -> Any:
    """Remove titles, which repeat names, and defaults, which are not printed by name."""
    if isinstance(node, Mapping):
        return {
            key: _plain(value)
            for key, value in node.items()
            if key != "default" and not (key == "title" and isinstance(value, str))
        }
    return [_plain(item) for item in node] if isinstance(node, list) else node
