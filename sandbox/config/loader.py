"""Reads one YAML document into a pydantic model, with errors that name the file, the line and the key.

An empty document means every default, and so does a key without a value (`registry:`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, TypeAdapter, ValidationError

from sandbox.config import text_file
from sandbox.config.problems import Misfits, blanks, faults, misfitting
from sandbox.config.yaml_text import Fault, KeyPath, Place, Places, Refused, quoted, spec_document
from sandbox.errors import BadFile, UsageError

M = TypeVar("M", bound=BaseModel)
Amend = Callable[["Source"], "Source"]

Format = Literal["sandbox.dev/v1"]
CURRENT: Format = "sandbox.dev/v1"
MAX_SIZE = 1 << 20  # bytes; a spec has a few kB
# Origins of values besides FILE:LINE and the options of the command line.
DEFAULT, RECORDED, FOLDER, PROGRAM, PROJECT = "default", "the last up", "its folder", "a program", "the project"
_LISTED = 20  # how many errors are shown at once
# What a file with an account in it, given in the place of a spec, has after such a key in JSON or in AWS's own form.
_SECRET = re.compile(r"(?i)([\w-]*(?:auth|password|secret|token|private_?key)[\w-]*(?:\s*=|[\"']\s*:)\s*)\S.*")


@dataclass(frozen=True)
class Source:
    data: dict[str, Any] = field(default_factory=dict)
    places: Places = field(default_factory=lambda: {(): Place(1, None, "a mapping")})

    def merged(self, path: KeyPath, value: Any, origin: str, *, is_option: bool = False) -> Source:
        """Return the same with `value` at `path` in place of what was there.

        Where a parent is not a mapping nothing is changed: that is an error already.
        """
        data = target = dict(self.data)
        for key in path[:-1]:
            inner = target.get(str(key))
            if inner is not None and not isinstance(inner, dict):
                return self
            target[str(key)] = target = dict(inner or {})
        target[str(path[-1])] = value
        places = {at: place for at, place in self.places.items() if at[: len(path)] != path}
        for length in range(1, len(path)):
            if path[:length] not in places or places[path[:length]].kind == "nothing":
                places[path[:length]] = Place(0, None, "a mapping", origin, is_option)
        places |= _places(value, path, origin, is_option)
        return Source(data, places)

    def origins(self, document: str) -> dict[KeyPath, str]:
        """Return the origin of each value that was given; `document` is the file's name."""
        given = ((path, place) for path, place in self.places.items() if not place.is_blank)
        return {path: place.origin or f"{document}:{place.line}" for path, place in given}


def _places(value: Any, path: KeyPath, origin: str, is_option: bool) -> Places:
    kind, inside = quoted(value) if isinstance(value, str) else str(value), []
    if isinstance(value, dict):
        kind, inside = "a mapping", list(value.items())
    elif isinstance(value, list | tuple):
        kind, inside = "a list", list(enumerate(value))
    places = {path: Place(0, None, kind, origin, is_option)}
    for key, inner in inside:
        places |= _places(inner, (*path, key), origin, is_option)
    return places


def load(
    path: Path,
    model: type[M],
    *,
    create: str = "create it, or name another file",
    amend: Amend = lambda source: source,
    folder: Path | None = None,
    may_be_pipe: bool = False,
) -> M:
    """Return the document in the file `path` as a `model`; relative paths in it are taken from `folder`.

    Raises BadFile, with `create` as fix for a missing file. `amend` adds values from other sources, before all are
    validated at once. Raises UsageError where only those are wrong.
    """
    text = text_file.read(path, most=MAX_SIZE, fix=create, may_be_pipe=may_be_pipe)
    source = amend(read(text, origin=str(path)))
    return validated(source, model, origin=str(path), text=text, folder=folder)


def read(text: str, *, origin: str) -> Source:
    """Return the one mapping in `text`, empty if `text` says nothing. Raises BadFile."""
    try:
        data, places = spec_document(text)
    except Refused as refused:
        raise _error(origin, text, list(refused.faults)) from refused
    if data is None:
        return Source()
    if not isinstance(data, dict):
        place = places[()]
        fault = Fault(place.line, f"the document must be a mapping of keys, not {place.kind}")
        raise _error(origin, text, [fault])
    return Source(data, places)


def validated(source: Source, model: type[M], *, origin: str, text: str = "", folder: Path | None = None) -> M:
    """Return the data of `source`, whose text is `text`, as a `model`. Raises UsageError.

    JSON's rules apply, not Python's: a strict model still accepts a list for a tuple and text for a path.
    """
    try:
        try:
            document = model.model_validate_json(json.dumps(source.data), context=folder)
        except ValidationError as error:
            for *parents, key in blanks(error, source.places):
                target: Any = source.data
                for parent in parents:
                    target = target[parent]
                del target[key]
            document = model.model_validate_json(json.dumps(source.data), context=folder)
        placed = getattr(document, "placed", None)
        return placed(source.origins(origin)) if placed else document
    except ValidationError as error:
        raise _error(origin, text, faults(error, source.places, model)) from error
    except Misfits as error:
        raise _error(origin, text, misfitting(error, source.places)) from error


def require(kind: Any, text: str) -> None:
    try:
        TypeAdapter(kind).validate_python(text)
    except ValidationError as error:
        raise UsageError(f"{text!r} {error.errors()[0]['ctx']['error']}") from error


def _error(origin: str, text: str, found: list[Fault]) -> UsageError:
    lines = text.splitlines()
    kind = UsageError if all(fault.option for fault in found) else BadFile
    brief, *details = (part for fault in found[:_LISTED] for part in (_brief(origin, fault), _excerpt(lines, fault)))
    fixes = [_printable(fault.fix) for fault in found if fault.fix]
    if len(found) > 1:
        brief += f" (and {len(found) - 1} more)"
        fixes = [f"{fault.option or f'line {fault.line}'}: {_printable(fault.fix)}" for fault in found if fault.fix]
    return kind(brief, details="\n".join(filter(None, details)), fix="\n".join(dict.fromkeys(fixes[:_LISTED])))


def _brief(origin: str, fault: Fault) -> str:
    column = f":{fault.column}" if fault.column else ""
    line = f":{fault.line}" if fault.line else ""
    return f"{fault.option or f'{origin}{line}{column}'}: {_printable(fault.message)}"


def _excerpt(lines: list[str], fault: Fault) -> str:
    if not 0 < fault.line <= len(lines):
        return ""
    prefix = f"  {fault.line} | "
    excerpt = prefix + _printable(_SECRET.sub(r"\1***", lines[fault.line - 1][:200]), 120)
    if fault.column and fault.column <= 120:
        excerpt += "\n" + " " * (len(prefix) + fault.column - 1) + "^"
    return excerpt


def _printable(text: str, most: int = 400) -> str:
    shown = "".join(character if character.isprintable() else " " for character in text[:most])
    return shown if len(text) <= most else shown[:-1] + "…"
