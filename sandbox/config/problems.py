"""Turns pydantic's errors into messages for the author of the document, each at its line."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

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
    by_path: dict[KeyPath, list[Fault]] = {}
    for detail in error.errors(include_url=False):
        if detail["type"] == "default_factory_not_called":  # it follows from another fault
            continue
        path = walk(source.places, detail["loc"])
        cause = detail.get("ctx", {}).get("error")
        if isinstance(cause, Misfits):
            for below, message in cause.misfits:
                at = (*path, *below)
                by_path.setdefault(at, []).append(_at(_nearest(source.places, at), at, message))
        else:
            at, fault = _placed_fault(detail, path, source, model)
            by_path.setdefault(at, []).append(fault)
    # A union has an error for each of its members: the member that got furthest is the intended one.
    passed = {path[:length] for path in by_path for length in range(len(path))}
    deepest = [_joined(path, same) for path, same in by_path.items() if path not in passed]
    return sorted(deepest, key=lambda fault: fault.line)


def walk(places: dict[KeyPath, Place], loc: Sequence[str | int]) -> KeyPath:
    # `loc` also contains union members and validators.
    path: KeyPath = ()
    for part in loc:
        if (*path, part) in places:
            path = (*path, part)
    return path


def blanks(error: ValidationError, source: Source) -> list[KeyPath]:
    refused = [detail for detail in error.errors(include_url=False) if detail["type"] != "extra_forbidden"]
    paths = [walk(source.places, detail["loc"]) for detail in refused]
    return [path for path in dict.fromkeys(paths) if source.places[path].blank and isinstance(path[-1], str)]


def allowed_keys(model: type[Any], loc: Sequence[str | int] = ()) -> list[str]:
    keys = (key_of(*field) for each in _models_at(model, loc) for field in each.model_fields.items())
    return list(dict.fromkeys(keys))


def _models_at(model: type[Any], loc: Sequence[str | int]) -> list[type[Any]]:
    models = [model]
    for part in loc:
        if kinds := _annotations(models, part):
            models = [inner for kind in kinds for inner in _models(kind)]
        else:  # an index, or the name or tag of a union's member
            models = [each for each in models if part == each.__name__ or part in _tags(each)] or models
    return models


def _annotations(models: Iterable[Any], key: str | int) -> list[Any]:
    fields = (field for model in models for field in model.model_fields.items())
    return [info.annotation for name, info in fields if key in (name, key_of(name, info))]


def _models(kind: Any) -> Iterator[Any]:
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        yield kind
    else:
        for inner in get_args(kind):
            yield from _models(inner)


def _tags(model: Any) -> set[Any]:
    annotations = [info.annotation for info in model.model_fields.values()]
    return {value for kind in annotations if get_origin(kind) is Literal for value in get_args(kind)}


def _is_value(kind: Any) -> bool:
    # A `BeforeValidator` takes text or a number as a short form.
    return kind in (str, int, Path) or isinstance(kind, BeforeValidator) or any(map(_is_value, get_args(kind)))


def _placed_fault(detail: ErrorDetails, path: KeyPath, source: Source, model: type[Any]) -> tuple[KeyPath, Fault]:
    place, kind, loc = source.places[path], detail["type"], detail["loc"]
    context: dict[str, Any] = detail.get("ctx", {})
    match kind:
        case "extra_forbidden":
            inside = f" in {dotted(path[:-1])}" if path[:-1] else ""
            fix = _suggest(str(loc[-1]), allowed_keys(model, loc[:-1]), "allowed keys")
            return path, Fault(place.line, f"unknown key '{loc[-1]}'{inside}", fix)
        case "missing":
            inside = f" in {dotted(path)}" if path else ""
            return (*path, loc[-1]), Fault(place.line, f"missing key '{loc[-1]}'{inside}", f"add '{loc[-1]}:'")
        case "union_tag_not_found":
            key = context["discriminator"].strip("'")
            return (*path, key), _at(place, path, f"missing key '{key}'", f"add '{key}:'")
        case "union_tag_invalid":
            at, given = (*path, context["discriminator"].strip("'")), str(context["tag"])
            fix = _suggest(given, _quoted(context["expected_tags"]), "allowed")
            return at, _at(_nearest(source.places, at), at, f"unknown value '{given}'", fix)
        case "value_error":
            return path, _at(place, path, str(context["error"]), getattr(context["error"], "fix", ""))
    if kind not in _MESSAGES:
        return path, _at(place, path, detail["msg"][:1].lower() + detail["msg"][1:])
    message = _MESSAGES[kind].format_map(context).replace("at least 1 entries", "at least one entry")
    if kind not in ("too_short", "too_long"):  # the list itself is not worth repeating
        message = f"{message}, not {place.kind}"
    return path, _at(place, path, message, _value_fix(detail, place, model))


def _value_fix(detail: ErrorDetails, place: Place, model: type[Any]) -> str:
    raw, loc = place.raw or "", detail["loc"]
    match detail["type"]:
        case "string_type" if raw:
            return f"put it in quotes: '{raw}'"
        case "int_type" if re.fullmatch("-?[0-9]+", raw):
            return f"write it without quotes: {raw}"
        case "literal_error":
            values = _quoted(detail["ctx"]["expected"])
            return _suggest(raw, values, "allowed") if values else ""
        case "list_type" | "tuple_type" if raw:
            kinds = _annotations(_models_at(model, loc[:-1]), loc[-1])
            return f"write a list: [{raw}]" if any(map(_is_value, kinds)) else ""
    return ""


def _at(place: Place, path: KeyPath, message: str, fix: str = "") -> Fault:
    if place.option:
        return Fault(0, message, fix, option=place.option)
    return Fault(place.line, _placed(path, message), fix)


def _joined(path: KeyPath, same: list[Fault]) -> Fault:
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
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path).removeprefix(".")


def _nearest(places: dict[KeyPath, Place], path: KeyPath) -> Place:
    while path not in places:
        path = path[:-1]
    return places[path]
