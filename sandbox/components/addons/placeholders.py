"""Fills the `${placeholders}` of manifests, in their texts only, so that no value can change what an object is."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import partial
from typing import Any

_PLACEHOLDER = re.compile(r"\$\{([a-z][a-z0-9_]*)\}")


def fill(value: Any, values: Mapping[str, str]) -> Any:
    """`value` with each placeholder that `values` knows filled; others are left, for shells have them too."""
    match value:
        case str():
            return _PLACEHOLDER.sub(partial(_value, values), value)
        case Mapping():
            return {key: fill(one, values) for key, one in value.items()}
        case list() | tuple():
            return [fill(one, values) for one in value]
    return value


def used(value: Any) -> frozenset[str]:
    """The names of the placeholders in `value`."""
    match value:
        case str():
            return frozenset(_PLACEHOLDER.findall(value))
        case Mapping():
            return frozenset().union(*map(used, value.values()))
        case list() | tuple():
            return frozenset().union(*map(used, value))
    return frozenset()


def _value(values: Mapping[str, str], found: re.Match[str]) -> str:
    return values.get(found[1], found[0])
