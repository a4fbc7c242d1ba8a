"""Reads one YAML document into a pydantic model, with errors that name the file, the line and the key.

An empty document means every default, and so does a key without a value (`registry:`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, TypeAdapter, ValidationError

from sandbox.config.problems import Misfits, allowed_keys, blanks, faults, misfitting
from sandbox.config.yaml_source import Source, read
from sandbox.config.yaml_text import Fault, Refused
from sandbox.errors import BadFile, UsageError

__all__ = ["CURRENT", "Format", "Misfits", "load", "parse", "require", "validated"]

M = TypeVar("M", bound=BaseModel)
Amend = Callable[[Source], Source]

Format = Literal["sandbox.dev/v1"]
CURRENT: Format = "sandbox.dev/v1"
MAX_SIZE = 1 << 20  # bytes; a spec has a few kB
TOO_LARGE = Fault(1, "the document is larger than 1 MiB", "split it, or check that this is the right file")
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
) -> M:
    """Return the document in the file `path` as a `model`; relative paths in it are taken from `folder`.

    Raises BadFile, with `create` as fix for a missing file. `amend` adds values from other sources, before all are
    validated at once. Raises UsageError where only those are wrong.
    """
    origin = str(path)
    try:
        if path.exists() and not (path.is_file() or path.is_dir() or path.is_relative_to("/dev")):
            # A pipe may never be written to, except for those that the shell makes (`-f <(…)`), which are in /dev.
            raise BadFile(f"{origin}: is not a regular file", fix="name another file")
        with path.open("rb") as file:
            content = file.read(MAX_SIZE + 1)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise BadFile(f"{origin}: no such file", fix=create) from error
    except IsADirectoryError as error:
        raise BadFile(f"{origin}: is a directory, not a file", fix="name the file inside it") from error
    except OSError as error:
        fix = "check its permissions" if isinstance(error, PermissionError) else ""
        raise BadFile(f"{origin}: cannot be read", details=str(error), fix=fix) from error
    if len(content) > MAX_SIZE:
        raise _error(origin, "", [TOO_LARGE])
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise BadFile(f"{origin}:{line}: not UTF-8 text", details=str(error), fix="save it as UTF-8") from error
    return parse(text, model, origin=origin, amend=amend, folder=folder)


def parse(
    text: str,
    model: type[M],
    *,
    origin: str,
    amend: Amend = lambda source: source,
    folder: Path | None = None,
) -> M:
    if len(text) > MAX_SIZE:
        raise _error(origin, "", [TOO_LARGE])
    try:
        source = read(text)
    except Refused as refused:
        faults = list(refused.faults)
        if not faults[0].fix and "must be a mapping" in faults[0].message:
            faults = [replace(faults[0], fix=f"allowed keys: {', '.join(allowed_keys(model))}")]
        raise _error(origin, text, faults) from refused
    if "services" in source.data and "services" not in allowed_keys(model):
        line = source.places["services",].line
        fault = Fault(line, "this is a Compose file", "rename it to compose.yaml, and run `sandbox init`")
        raise _error(origin, text, [fault])
    return validated(amend(source), model, origin=origin, text=text, folder=folder)


def validated(source: Source, model: type[M], *, origin: str, text: str = "", folder: Path | None = None) -> M:
    """Return the data of `source`, whose text is `text`, as a `model`. Raises UsageError.

    JSON's rules apply, not Python's: a strict model still accepts a list for a tuple and text for a path.
    """
    try:
        try:
            document = model.model_validate_json(json.dumps(source.data), context=folder)
        except ValidationError as error:
            unwritten = blanks(error, source)
            if not unwritten:
                raise
            for *parents, key in unwritten:
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
    if len(found) == 1:
        return kind(_brief(origin, found[0]), details=_excerpt(lines, found[0]), fix=_printable(found[0].fix))
    details: list[str] = []
    fixes: list[str] = []
    for fault, before in zip(found[:_LISTED], [None, *found], strict=False):
        is_same_line = before is not None and fault.line == before.line
        details += [_brief(origin, fault), *([] if is_same_line else [_excerpt(lines, fault)])]
        at = fault.option or f"line {fault.line}"
        fixes += [f"{at}: {_printable(fault.fix)}"] if fault.fix else []
    if len(found) > _LISTED:
        details.append(f"… and {len(found) - _LISTED} more")
    brief = f"{_brief(origin, found[0])} (and {len(found) - 1} more)"
    return kind(brief, details="\n".join(filter(None, details)), fix="\n".join(dict.fromkeys(fixes)))


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
