"""Writes a sandbox.yaml with every key, its meaning and its default, from the models so that it is never outdated.

A line about a key is a comment with a space after its `#`; a key that is not set is one without, so that removing the
`#` sets it.
"""

from __future__ import annotations

import json
import math
import re
import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, Field, fields
from typing import Any, get_type_hints

import yaml

from sandbox.config.model import Model, key_of

WIDTH = 100
_PLAIN = re.compile(r"[\w./][\w./+-]*(:[\w./+-]+)*", re.ASCII)


def outline(model: type[Model], given: Mapping[str, Any]) -> str:
    """Return the text, with the values of `given` (nested as the file is) and the others commented out."""
    return "\n".join(_lines(model, given, "")) + "\n"


def _lines(model: type[Model], given: Mapping[str, Any], indent: str) -> Iterator[str]:
    kinds = get_type_hints(model)
    for info in fields(model):
        name = key_of(info)
        inner, value = _section(kinds[info.name]), given.get(name)
        mark = "" if name in given else "#"
        body = list(_lines(inner, value or {}, "  ")) if inner else []
        if mark:
            body = [line if line.startswith("  # ") else line.replace("#", "", 1) for line in body]
        block = [f"{name}:", *body] if inner else [f"{name}: {inline(value if name in given else _shown(info))}"]
        if not indent:
            yield ""
        yield from (f"{indent}# {line}" for line in textwrap.wrap(info.metadata.get("description", ""), WIDTH))
        yield from (f"{indent}{mark}{line}".rstrip() for line in block)


def _section(kind: Any) -> type[Model] | None:
    """Return the model of a key that contains keys itself."""
    return kind if isinstance(kind, type) and issubclass(kind, Model) else None


def _shown(info: Field[Any]) -> Any:
    """Return the default, if there is one."""
    default = info.default if info.default_factory is MISSING else info.default_factory()
    return None if default in (MISSING, "") else default


def inline(value: Any) -> str:
    """Return one line of YAML, as people write it."""
    match value:
        case None:
            return ""
        case Mapping():
            return "{" + ", ".join(f"{inline(key)}: {inline(one)}" for key, one in value.items()) + "}"
        case list() | tuple():
            return "[" + ", ".join(map(inline, value)) + "]"
        case Model():
            return inline(value.model_dump(mode="json", exclude_defaults=True))
        case bool() | int() | float():
            return json.dumps(value)
    text = str(value)
    if _PLAIN.fullmatch(text) and yaml.safe_load(f"- {text}") == [text]:
        return text
    quoted: str = yaml.safe_dump(text, default_style='"', allow_unicode=True, width=math.inf)
    return quoted.rstrip("\n")
