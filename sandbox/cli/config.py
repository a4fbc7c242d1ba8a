"""`sandbox config`: checks sandbox.yaml and images.yaml, shows their values, and prints their schemas."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import click
from pydantic import TypeAdapter

from sandbox.app import chosen_spec
from sandbox.app.context import default_file
from sandbox.app.project import spec_check
from sandbox.cli.app import Group, sandbox
from sandbox.cli.error_handler import Failure
from sandbox.cli.options import OutputOption, call, output_option, spec_options
from sandbox.cli.output import Event
from sandbox.config import problems
from sandbox.config import schema as spec_schema
from sandbox.config.yaml_text import KeyPath
from sandbox.errors import UsageError
from sandbox.images import images_yaml
from sandbox.quantities import count

DIALECT = "https://json-schema.org/draft/2020-12/schema"
OTHERS: Mapping[str, Any] = {"error": Failure, "event": Event}


@click.group("config", cls=Group)
def config() -> None:
    """Check and explain sandbox.yaml and images.yaml; change nothing."""


@dataclass(frozen=True)
class ValidConfig:
    """How much a valid spec has of each; `notes` are sentences on what may not work."""

    name: str
    domain: str
    addons: int
    images: int
    objects: int
    notes: Sequence[str]


@dataclass(frozen=True)
class ConfigValue:
    """A key of the spec, its value, and where it is from: FILE:LINE, or `default` and other words."""

    key: str
    value: Any
    origin: str


@config.command("validate")
@spec_options
@output_option(ValidConfig)
def validate() -> None:
    """Check the spec, its images and its manifests.

    Errors name file, line and key; the exit code is 2. Needs neither an engine nor a cluster.

    \b
    sandbox config validate
    sandbox config validate -f demo/sandbox.yaml
    sandbox config validate -o json
    """
    file, name = call().file, call().name
    spec = chosen_spec.choose(file, name).spec
    counts, doubts = spec_check.check(spec)
    numbers = {f"{noun}s": counts.get(noun, 0) for noun in ("addon", "image", "object")}
    result = ValidConfig(name=spec.name, domain=spec.domain, **numbers, notes=doubts)
    counted = (count(number, noun) for noun, number in counts.items())
    call().show(result, [f"valid: {', '.join((f'name {spec.name}', f'domain {spec.domain}', *counted))}"])
    notes = [*doubts]
    if file is None and name is None and not default_file():
        notes.append("there is no sandbox.yaml here: this is the default spec; write one: sandbox init")
    for note in notes if call().output == "text" else ():
        click.echo(f"note   {note}", err=True)


@config.command("show")
@spec_options
@output_option(tuple[ConfigValue, ...])
def show() -> None:
    """Show every key with its value and its origin.

    \b
    sandbox config show
    sandbox config show -n demo -o json
    """
    file, name = call().file, call().name
    spec = chosen_spec.choose(file, name).spec
    rows = [(path, value, spec.origin(*path)) for path, value in _leaves(spec.model_dump(mode="json"))]
    if name and file is None:
        rows = [(path, value, "command line" if path == ("name",) else origin) for path, value, origin in rows]
    width = max(len(problems.dotted(path)) for path, *_ in rows)
    lines = []
    for path, value, origin in rows:
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        lines.append(f"{problems.dotted(path):<{width}} {text:<40} {click.style(origin, dim=True)}")
    call().show([ConfigValue(".".join(map(str, path)), value, origin) for path, value, origin in rows], lines)


@config.command("schema")
@click.argument("which", nargs=-1)
def schema(which: tuple[str, ...]) -> None:
    """Print the JSON Schema of a file, for editors, or of what a command prints, for programs.

    WHICH is sandbox (sandbox.yaml, the default), images (images.yaml), a command with `-o json`, error, or event: a
    line of `--progress json`.

    \b
    sandbox config schema > sandbox.schema.json
    first line of the spec: # yaml-language-server: $schema=sandbox.schema.json
    sandbox config schema edge status
    sandbox config schema event
    """
    name = " ".join(which) or "sandbox"
    files = {"sandbox": spec_schema.schema, "images": images_yaml.schema}
    if name in files:
        click.echo(json.dumps(files[name](), indent=2))
        return
    if name not in (names := result_names()):
        raise UsageError(f"there is no schema of '{name}'", fix=f"one of {', '.join((*files, *names))}")
    click.echo(json.dumps(result_schema(name), indent=2))


def _leaves(value: Mapping[str, Any], path: KeyPath = ()) -> Iterator[tuple[KeyPath, Any]]:
    for key, inner in value.items():
        if isinstance(inner, Mapping) and inner:
            yield from _leaves(inner, (*path, key))
        else:
            # Without the account in a URL, such as a proxy's, up to the last @: a password may have one.
            yield (*path, key), re.sub(r"(://)[^/\s]+@", r"\1***@", inner) if isinstance(inner, str) else inner


def result_names() -> tuple[str, ...]:
    return (*sorted(_results(sandbox)), *OTHERS)


def result_schema(name: str) -> dict[str, Any]:
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
