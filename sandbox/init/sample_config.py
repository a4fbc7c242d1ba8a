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
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from sandbox.config.model import Document, key_of

WIDTH = 100
_PLAIN = re.compile(r"[\w./][\w./+-]*(:[\w./+-]+)*", re.ASCII)


def outline(model: type[Document], given: Mapping[str, Any]) -> str:
    """Return the text, with the values of `given` (nested as the file is) and the others commented out."""
    return "\n".join(_lines(model, given, "")) + "\n"


def _lines(model: type[Document], given: Mapping[str, Any], indent: str) -> Iterator[str]:
    for field_name, info in model.model_fields.items():
        name = key_of(field_name, info)
        inner, value = _section(info.annotation), given.get(name)
        mark = "" if name in given else "#"
        body = list(_lines(inner, value or {}, "  ")) if inner else []
        if mark:
            body = [line if line.startswith("  # ") else line.replace("#", "", 1) for line in body]
        block = [f"{name}:", *body] if inner else [f"{name}: {inline(value if name in given else _shown(info))}"]
        if not indent:
            yield ""
        yield from (f"{indent}# {line}" for line in textwrap.wrap(info.description or "", WIDTH))
        yield from (f"{indent}{mark}{line}".rstrip() for line in block)


def _section(kind: Any) -> type[Document] | None:
    """Return the model of a key that contains keys itself."""
    return kind if isinstance(kind, type) and issubclass(kind, Document) else None


def _shown(info: FieldInfo) -> Any:
    """Return the default, if it is the same for all documents."""
    return None if info.default is PydanticUndefined else info.default


def inline(value: Any) -> str:
    """Return one line of YAML, as people write it."""
    match value:
        case None:
            return ""
        case Mapping():
            return "{" + ", ".join(f"{inline(key)}: {inline(one)}" for key, one in value.items()) + "}"
        case list() | tuple():
            return "[" + ", ".join(map(inline, value)) + "]"
        case Document():
            return inline(value.model_dump(mode="json", exclude_defaults=True))
        case bool() | int() | float():
            return json.dumps(value)
    text = str(value)
    if _PLAIN.fullmatch(text) and yaml.safe_load(f"- {text}") == [text]:
        return text
    quoted: str = yaml.safe_dump(text, default_style='"', allow_unicode=True, width=math.inf)
    return quoted.rstrip("\n")
