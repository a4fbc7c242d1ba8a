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
from typing import Any

import yaml
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from sandbox.config.problems import key_of

WIDTH = 100
_PLAIN = re.compile(r"[\w./][\w./+-]*(:[\w./+-]+)*", re.ASCII)


def outline(model: type[BaseModel], given: Mapping[str, Any]) -> str:
    """Return the text, with the values of `given` (nested as the file is) and the others commented out."""
    return "\n".join(_lines(model, given, "")) + "\n"


def _lines(model: type[BaseModel], given: Mapping[str, Any], indent: str) -> Iterator[str]:
    for field, info in model.model_fields.items():
        name = key_of(field, info)
        inner, value = _section(info), given.get(name)
        mark = "" if name in given else "#"
        body = list(_lines(inner, value or {}, "  ")) if inner else []
        if mark:
            body = [line if line.startswith("  # ") else line.replace("#", "", 1) for line in body]
        block = [f"{name}:", *body] if inner else [f"{name}: {inline(value if name in given else _shown(info))}"]
        if not indent:
            yield ""
        yield from (f"{indent}# {line}" for line in textwrap.wrap(info.description or "", WIDTH))
        yield from (f"{indent}{mark}{line}".rstrip() for line in block)


def _section(info: FieldInfo) -> type[BaseModel] | None:
    """Return the model of a key that contains keys itself."""
    kind = info.annotation
    return kind if isinstance(kind, type) and issubclass(kind, BaseModel) else None


def _shown(info: FieldInfo) -> Any:
    """Return the default; where there is none, an example."""
    default = None if info.is_required() or info.default_factory else info.default
    if default in (None, (), {}) and info.examples:
        return info.examples[0]
    return default


def inline(value: Any) -> str:
    """Return one line of YAML, as people write it."""
    match value:
        case None:
            return ""
        case Mapping():
            return "{" + ", ".join(f"{inline(key)}: {inline(one)}" for key, one in value.items()) + "}"
        case list() | tuple():
            return "[" + ", ".join(map(inline, value)) + "]"
        case BaseModel():
            return inline(value.model_dump(mode="json", exclude_defaults=True))
        case bool() | int() | float():
            return json.dumps(value)
    text = str(value)
    if _PLAIN.fullmatch(text) and yaml.safe_load(f"- {text}") == [text]:
        return text
    quoted: str = yaml.safe_dump(text, default_style='"', allow_unicode=True, width=math.inf)
    return quoted.rstrip("\n")
