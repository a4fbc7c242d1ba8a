"""Turns pydantic's errors into messages for the author of the document, each at its line."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args, get_origin

from pydantic import BaseModel, BeforeValidator, ValidationError
from pydantic_core import ErrorDetails

from sandbox.config.model import key_of
from sandbox.config.yaml_source import Place, Source
from sandbox.config.yaml_text import Fault, KeyPath

# pydantic's error types, with a message for the author; {names} come from the error's context.
_MESSAGES = {
    "string_type": "must be text",
    "path_type": "must be a path",
    "bool_type": "must be true or false",
    "int_type": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number",
    "model_type": "must be a mapping of keys",
    "dict_type": "must be a mapping of keys",
    "list_type": "must be a list",
    "tuple_type": "must be a list",
    "literal_error": "must be {expected}",
    "greater_than_equal": "must be at least {ge}",
    "less_than_equal": "must be at most {le}",
    "string_too_short": "must have at least {min_length} characters",
    "string_too_long": "must have at most {max_length} characters",
    "string_pattern_mismatch": "must match {pattern}",
    "too_short": "must have at least {min_length} entries",
    "too_long": "must have at most {max_length} entries",
}
_UNKNOWN = "extra_forbidden"
_LISTS = ("list_type", "tuple_type")
_NOTHING_TO_ADD = ("too_short", "too_long")  # the list itself is not worth repeating


class Misfits(ValueError):
    """Values that do not fit together, raised by a model's validator: each `(path below the model, message)`.

    A plain ValueError is placed at the model; this one is placed at the values.
    """

    def __init__(self, *misfits: tuple[KeyPath, str]) -> None:
        super().__init__("; ".join(message for _, message in misfits))
        self.misfits = misfits


class Unfit(ValueError):
    def __init__(self, message: str, fix: str) -> None:
        super().__init__(message)
        self.fix = fix


def misfitting(error: Misfits, source: Source) -> list[Fault]:
    found = [_at(_nearest(source.places, path), path, message) for path, message in error.misfits]
    return sorted(found, key=lambda fault: fault.line)


def faults(error: ValidationError, source: Source, model: type[Any]) -> list[Fault]:
    found: dict[KeyPath, list[Fault]] = {}
    for detail in error.errors(include_url=False):
        if detail["type"] == "default_factory_not_called":  # it follows from another fault
            continue
        path = walk(source.places, detail["loc"])
        cause = detail.get("ctx", {}).get("error")
        if isinstance(cause, Misfits):
            for below, message in cause.misfits:
                at = (*path, *below)
                found.setdefault(at, []).append(_at(_nearest(source.places, at), at, message))
        else:
            at = (*path, *_absent(detail))
            found.setdefault(at, []).append(_fault(detail, path, source, model))
    # A union has an error for each of its members: the member that got furthest is the intended one.
    passed = {path[:length] for path in found for length in range(len(path))}
    deepest = [_joined(path, same) for path, same in found.items() if path not in passed]
    return sorted(deepest, key=lambda fault: fault.line)


def walk(places: dict[KeyPath, Place], loc: Sequence[str | int]) -> KeyPath:
    """Return the path in the document of pydantic's `loc`, which also contains union members and validators."""
    path: KeyPath = ()
    for part in loc:
        if (*path, part) in places:
            path = (*path, part)
    return path


def blanks(error: ValidationError, source: Source) -> list[KeyPath]:
    """Return the paths of known keys without a value (`key:`) that require one."""
    refused = [detail for detail in error.errors(include_url=False) if detail["type"] != _UNKNOWN]
    paths = [walk(source.places, detail["loc"]) for detail in refused]
    return [path for path in dict.fromkeys(paths) if source.places[path].blank and isinstance(path[-1], str)]


def allowed_keys(model: type[Any], loc: Sequence[str | int] = ()) -> list[str]:
    """Return the keys that the mapping at `loc` in a document of `model` may have."""
    return list(dict.fromkeys(each.key for one in _models_at(model, loc) for each in _keys(one)))


def _models_at(model: type[Any], loc: Sequence[str | int]) -> list[type[Any]]:
    models = [model]
    for part in loc:
        kinds = [each.kind for one in models for each in _keys(one) if part in (each.name, each.key)]
        if kinds:
            models = [each for kind in kinds for each in _models(kind)]
        else:  # an index, or the name or tag of a union's member
            models = [each for each in models if part == each.__name__ or part in _tags(each)] or models
    return models


def _takes_values(model: type[Any], loc: Sequence[str | int]) -> bool:
    """Return whether entries of the list at `loc` may be text or numbers, not only mappings."""
    keys = (each for one in _models_at(model, loc[:-1]) for each in _keys(one) if loc[-1] in (each.name, each.key))
    return any(_is_value(each.kind) for each in keys)


def _is_value(kind: Any) -> bool:
    if kind in (str, int, Path) or isinstance(kind, BeforeValidator):  # the latter takes a short form
        return True
    return any(map(_is_value, get_args(getattr(kind, "__value__", kind))))


class _Key(NamedTuple):
    name: str
    key: str
    kind: Any


def _keys(model: type[BaseModel]) -> Iterator[_Key]:
    for name, info in model.model_fields.items():
        yield _Key(name, key_of(name, info), info.annotation)


def _absent(detail: ErrorDetails) -> KeyPath:
    if detail["type"] == "missing":
        return detail["loc"][-1:]
    if detail["type"] in ("union_tag_invalid", "union_tag_not_found"):
        return (_discriminator(detail),)
    return ()


def _discriminator(detail: ErrorDetails) -> str:
    return str(detail["ctx"]["discriminator"]).strip("'")


def _fault(detail: ErrorDetails, path: KeyPath, source: Source, model: type[Any]) -> Fault:
    place, kind, last = source.places[path], detail["type"], detail["loc"][-1:]
    context: dict[str, Any] = detail.get("ctx", {})
    if kind == _UNKNOWN:
        inside = f" in {dotted(path[:-1])}" if path[:-1] else ""
        keys = allowed_keys(model, detail["loc"][:-1])
        return Fault(place.line, f"unknown key '{last[0]}'{inside}", _suggest(str(last[0]), keys, "allowed keys"))
    if kind == "missing":
        inside = f" in {dotted(path)}" if path else ""
        return Fault(place.line, f"missing key '{last[0]}'{inside}", f"add '{last[0]}:'")
    if kind == "union_tag_not_found":
        key = _discriminator(detail)
        return _at(place, path, f"missing key '{key}'", f"add '{key}:'")
    if kind == "union_tag_invalid":
        at, given = (*path, _discriminator(detail)), str(context["tag"])
        fix = _suggest(given, _quoted(str(context["expected_tags"])), "allowed")
        return _at(_nearest(source.places, at), at, f"unknown value '{given}'", fix)
    if kind == "value_error":
        return _at(place, path, str(context["error"]), getattr(context["error"], "fix", ""))
    if kind not in _MESSAGES:
        return _at(place, path, detail["msg"][:1].lower() + detail["msg"][1:])
    message = _MESSAGES[kind].format_map(context).replace("at least 1 entries", "at least one entry")
    if kind not in _NOTHING_TO_ADD:
        message = f"{message}, not {place.kind}"
    fix = _value_fix(kind, place, context)
    if kind in _LISTS and place.raw and _takes_values(model, detail["loc"]):
        fix = f"write a list: [{place.raw}]"
    return _at(place, path, message, fix)


def _at(place: Place, path: KeyPath, message: str, fix: str = "") -> Fault:
    """Return a fault of the value at `path`, worded for the option that gave it, else for the key."""
    if place.option:
        return Fault(0, message, fix, option=place.option)
    return Fault(place.line, _placed(path, message), fix)


def _value_fix(kind: str, place: Place, context: dict[str, Any]) -> str:
    if kind == "string_type" and place.raw:
        return f"put it in quotes: '{place.raw}'"
    if kind == "int_type" and re.fullmatch("-?[0-9]+", place.raw or ""):
        return f"write it without quotes: {place.raw}"
    if kind == "literal_error":
        values = _quoted(str(context["expected"]))
        return _suggest(place.raw or "", values, "allowed") if values else ""
    return ""


def _joined(path: KeyPath, same: list[Fault]) -> Fault:
    """Return the errors of all members of a union about one value, as one."""
    first, *others = dict.fromkeys(same)
    if not others:
        return first
    message = first.message
    for other in others:
        rest = other.message.removeprefix(_placed(path, "")).removeprefix("must ")
        message = f"{message.rpartition(', not ')[0] or message}, or {rest}"
    return replace(first, message=message, fix=first.fix if first.fix.startswith("did you mean") else "")


def _suggest(given: str, known: list[str], otherwise: str) -> str:
    import difflib  # not needed for a correct spec

    near = difflib.get_close_matches(given.lower(), [name.lower() for name in known], 1)
    if near:
        return f"did you mean '{next(name for name in known if name.lower() == near[0])}'?"
    return f"{otherwise}: {', '.join(known)}"


def _quoted(expected: str) -> list[str]:
    return re.findall(r"'([^']*)'", expected)


def _placed(path: KeyPath, message: str) -> str:
    return f"{dotted(path)}: {message}" if path else message


def dotted(path: KeyPath) -> str:
    """Return a path as people write it: `edge.ports[0]`."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path).removeprefix(".")


def _nearest(places: dict[KeyPath, Place], path: KeyPath) -> Place:
    while path not in places:
        path = path[:-1]
    return places[path]


def _models(kind: Any) -> Iterator[Any]:
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        yield kind
    else:
        for inner in get_args(getattr(kind, "__value__", kind)):
            yield from _models(inner)


def _tags(model: Any) -> set[Any]:
    literals = [one.kind for one in _keys(model) if get_origin(one.kind) is Literal]
    return {value for literal in literals for value in get_args(literal)}
