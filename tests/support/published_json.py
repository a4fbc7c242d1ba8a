"""Holds JSON that commands print against its published schema, in which tests allow no key that is not named."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import click

from sandbox.cli import output
from sandbox.cli.app import sandbox
from sandbox.cli.config import result_names, result_schema
from sandbox.cli.error_handler import Failure

if TYPE_CHECKING:
    from jsonschema.protocols import Validator


@functools.cache
def strict(name: str) -> Validator:
    """The schema of what `name` prints, without room for further keys."""
    from jsonschema.validators import validator_for  # which takes a second to import

    schema: dict[str, Any] = _closed(result_schema(name))
    kind = validator_for(schema)
    kind.check_schema(schema)
    return kind(schema)


@functools.cache
def commands() -> Mapping[Any, str]:
    def walk(command: click.Command, words: tuple[str, ...]) -> Iterator[tuple[Any, str]]:
        if isinstance(command, click.Group):
            context = click.Context(command)
            for name in command.list_commands(context):
                if child := command.get_command(context, name):
                    yield from walk(child, (*words, name))
        yield command.callback, " ".join(words)

    return dict(walk(sandbox, ()))


def check(name: str, value: Any) -> None:
    """Fail unless the value, as it is printed, is as the schema of `name` says."""
    strict(name).validate(json.loads(json.dumps(value, default=output.plain_value)))


def check_printed(arguments: tuple[str, ...], text: str) -> None:
    """Check what a command line with `-o json` printed, if it did."""
    words = [one for one in arguments if not one.startswith("-")]
    names = [one for one in result_names() if words[: len(one.split())] == one.split()]
    if names and text.strip() and {"json", "--output=json"} & set(arguments) and "--progress" not in arguments:
        value = json.loads(text)
        failed = isinstance(value, dict) and set(value) == {"error"}
        check("error" if failed else max(names, key=len), value)


def checked_text(value: Any) -> str:
    """Return the JSON that the present command prints, once it is checked."""
    if isinstance(value, Failure):
        check("error", value)
    else:
        context = click.get_current_context(silent=True)
        if context is not None:  # a test that calls the function has none
            check(commands()[context.command.callback], value)
    return json.dumps(value, indent=2, default=output.plain_value)


def checking(add: Callable[..., None]) -> Callable[..., None]:
    """Wrap what writes an event, so that the event is checked."""

    def added(self: Any, event: str, **more: Any) -> None:
        check("event", {"time": 0, "event": event, **more})
        add(self, event, **more)

    return added


def _closed(node: Any) -> Any:
    if isinstance(node, Mapping):
        also = {"additionalProperties": False} if "properties" in node and node.get("type") == "object" else {}
        return {**{key: _closed(value) for key, value in node.items()}, **also}
    return [_closed(one) for one in node] if isinstance(node, list) else node
