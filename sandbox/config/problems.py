"""Turns pydantic's errors into messages for the author of the document, each at its line."""

import difflib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from sandbox.config.model import key_of
from sandbox.config.yaml_text import Fault, KeyPath, Places

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


def misfitting(error: Misfits, places: Places) -> list[Fault]:
    found = [_at(places, path, message) for path, message in error.misfits]
    return sorted(found, key=lambda fault: fault.line)


def faults(error: ValidationError, places: Places, model: type[Any]) -> list[Fault]:
    by_path: dict[KeyPath, list[Fault]] = {}
    for detail in error.errors(include_url=False):
        if detail["type"] == "default_factory_not_called":  # it follows from another fault
            continue
        path = _walk(places, detail["loc"])
        cause = detail.get("ctx", {}).get("error")
        if isinstance(cause, Misfits):
            for below, message in cause.misfits:
                at = (*path, *below)
                by_path.setdefault(at, []).append(_at(places, at, message))
        else:
            at, fault = _placed_fault(detail, path, places, model)
            by_path.setdefault(at, []).append(fault)
    # A union has an error for each of its members: the member that got furthest is the intended one.
    passed = {path[:length] for path in by_path for length in range(len(path))}
    deepest = [_joined(same) for path, same in by_path.items() if path not in passed]
    return sorted(deepest, key=lambda fault: fault.line)


def _walk(places: Places, loc: Sequence[str | int]) -> KeyPath:
    # `loc` also contains union members and validators.
    path: KeyPath = ()
    for part in loc:
        if (*path, part) in places:
            path = (*path, part)
    return path


def blanks(error: ValidationError, places: Places) -> list[KeyPath]:
    """Return the known keys without a value that `error` refuses."""
    refused = [detail["loc"] for detail in error.errors(include_url=False) if detail["type"] != "extra_forbidden"]
    paths = dict.fromkeys(_walk(places, loc) for loc in refused)
    return [path for path in paths if places[path].is_blank and isinstance(path[-1], str)]


def _allowed_keys(model: type[Any], loc: Sequence[str | int]) -> list[str]:
    models = [model]
    for part in loc:
        fields = (field for each in models for field in each.model_fields.items())
        kinds = [info.annotation for name, info in fields if part in (name, key_of(name, info))]
        # Without a field of this name it is an index or a member of a union.
        models = [inner for kind in kinds for inner in _models(kind)] or models
    keys = (key_of(*field) for each in models for field in each.model_fields.items())
    return list(dict.fromkeys(keys))


def _models(kind: Any) -> Iterator[Any]:
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        yield kind
    else:
        for inner in get_args(kind):
            yield from _models(inner)


def _placed_fault(detail: ErrorDetails, path: KeyPath, places: Places, model: type[Any]) -> tuple[KeyPath, Fault]:
    place, kind, loc = places[path], detail["type"], detail["loc"]
    context: dict[str, Any] = detail.get("ctx", {})
    match kind:
        case "extra_forbidden":
            inside = f" in {dotted(path[:-1])}" if path[:-1] else ""
            fix = _suggest(str(loc[-1]), _allowed_keys(model, loc[:-1]))
            return path, Fault(place.line, f"unknown key '{loc[-1]}'{inside}", fix)
        case "missing":
            inside = f" in {dotted(path)}" if path else ""
            return (*path, loc[-1]), Fault(place.line, f"missing key '{loc[-1]}'{inside}", f"add '{loc[-1]}:'")
        case "union_tag_not_found":
            key = context["discriminator"].strip("'")
            return (*path, key), _at(places, path, f"missing key '{key}'", f"add '{key}:'")
        case "union_tag_invalid":
            at = (*path, context["discriminator"].strip("'"))
            message = f"must be one of {context['expected_tags']}, not '{context['tag']}'"
            return at, _at(places, at, message)
        case "value_error":
            return path, _at(places, path, str(context["error"]))
    if kind not in _MESSAGES:
        return path, _at(places, path, detail["msg"][:1].lower() + detail["msg"][1:])
    message = _MESSAGES[kind].format_map(context).replace("at least 1 entries", "at least one entry")
    if kind not in ("too_short", "too_long"):  # the list itself is not worth repeating
        message = f"{message}, not {place.kind}"
    fix = f"put it in quotes: '{place.raw}'" if kind == "string_type" and place.raw else ""
    return path, _at(places, path, message, fix)


def _at(places: Places, path: KeyPath, message: str, fix: str = "") -> Fault:
    nearest = path
    while nearest not in places:
        nearest = nearest[:-1]
    place = places[nearest]
    if place.is_option:
        return Fault(0, message, fix, option=place.origin)
    return Fault(place.line, f"{dotted(path)}: {message}" if path else message, fix)


# One fault for a value that fits no member of a union.
def _joined(same: list[Fault]) -> Fault:
    first, *others = dict.fromkeys(same)
    if not others:
        return first
    start = first.message.rpartition(", not ")[0] or first.message
    rest = (other.message.partition(": must ")[2] or other.message for other in others)
    return replace(first, message=", or ".join((start, *rest)), fix="")


def _suggest(given: str, known: list[str]) -> str:
    near = difflib.get_close_matches(given.lower(), [name.lower() for name in known], 1)
    if near:
        return f"did you mean '{next(name for name in known if name.lower() == near[0])}'?"
    return f"allowed keys: {', '.join(known)}"


def dotted(path: KeyPath) -> str:
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path).removeprefix(".")
