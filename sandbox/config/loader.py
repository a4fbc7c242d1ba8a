"""Reads one YAML document into a pydantic model, with errors that name the file, the line and the key.

An empty document means every default, and so does a key without a value (`registry:`).
"""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, TypeAdapter, ValidationError

from sandbox.config import text_file
from sandbox.config.problems import Misfits, blanks, faults, misfitting
from sandbox.config.yaml_source import Source, read
from sandbox.config.yaml_text import Fault, Refused
from sandbox.errors import BadFile, UsageError

__all__ = ["CURRENT", "Format", "Misfits", "load", "parse", "require", "validated"]

M = TypeVar("M", bound=BaseModel)
Amend = Callable[[Source], Source]

Format = Literal["sandbox.dev/v1"]
CURRENT: Format = "sandbox.dev/v1"
MAX_SIZE = 1 << 20  # bytes; a spec has a few kB
_LISTED = 20  # how many errors are shown at once
# What a file with an account in it, given in the place of a spec, has after such a key in JSON or in AWS's own form.
_SECRET = re.compile(r"(?i)([\w-]*(?:auth|password|secret|token|private_?key)[\w-]*(?:\s*=|[\"']\s*:)\s*)\S.*")


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
    return parse(text, model, origin=str(path), amend=amend, folder=folder)


def parse(
    text: str,
    model: type[M],
    *,
    origin: str,
    amend: Amend = lambda source: source,
    folder: Path | None = None,
) -> M:
    try:
        source = read(text)
    except Refused as refused:
        raise _error(origin, text, list(refused.faults)) from refused
    return validated(amend(source), model, origin=origin, text=text, folder=folder)


def validated(source: Source, model: type[M], *, origin: str, text: str = "", folder: Path | None = None) -> M:
    """Return the data of `source`, whose text is `text`, as a `model`. Raises UsageError.

    JSON's rules apply, not Python's: a strict model still accepts a list for a tuple and text for a path.
    """
    try:
        try:
            document = model.model_validate_json(json.dumps(source.data), context=folder)
        except ValidationError as error:
            for *parents, key in blanks(error, source):
                target: Any = source.data
                for parent in parents:
                    target = target[parent]
                del target[key]
            document = model.model_validate_json(json.dumps(source.data), context=folder)
        placed = getattr(document, "placed", None)
        return placed(source.origins(origin)) if placed else document
    except ValidationError as error:
        raise _error(origin, text, faults(error, source, model)) from error
    except Misfits as error:
        raise _error(origin, text, misfitting(error, source)) from error


def require(kind: Any, text: str) -> None:
    try:
        TypeAdapter(kind).validate_python(text)
    except ValidationError as error:
        raise UsageError(f"{text!r} {error.errors()[0]['ctx']['error']}") from error


def _error(origin: str, text: str, found: list[Fault]) -> UsageError:
    lines = text.splitlines()
    kind = UsageError if all(fault.option for fault in found) else BadFile
    first, *others = found
    brief, details = _brief(origin, first), [_excerpt(lines, first)]
    for fault in others[: _LISTED - 1]:
        details += [_brief(origin, fault), _excerpt(lines, fault)]
    fixes = [_printable(fault.fix) for fault in found if fault.fix]
    if others:
        brief += f" (and {len(others)} more)"
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
