"""A document's plain data with the place of every value, so that errors can point at what was written."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import Any

from sandbox.config.yaml_text import Fault, KeyPath, Refused, quoted, spec_document


class Giver(enum.IntEnum):
    """Who gave a value, from the least to the most deliberate: of two that conflict, the later is to be changed."""

    DEFAULT = 0
    RECORDED = 1  # the last `sandbox up`
    FOLDER = 2  # the name of the file's folder
    PROGRAM = 3  # a caller of the Python API
    FILE = 4
    OPTION = 5


@dataclass(frozen=True)
class ValueOrigin:
    """The origin of a value; `where` is FILE:LINE, or the option."""

    giver: Giver = Giver.DEFAULT
    where: str = ""

    def __str__(self) -> str:
        return self.where or ("default", "the last up", "its folder", "a program")[self.giver]


@dataclass(frozen=True)
class Place:
    """Where a value was written: its line (or its key's), and its source text if it is a scalar.

    A value from elsewhere has the line 0, and its `option` if it is from the command line.
    """

    line: int
    raw: str | None
    kind: str
    giver: Giver = Giver.FILE
    option: str = ""

    @property
    def blank(self) -> bool:
        return self.kind == "nothing" and self.raw == ""


@dataclass(frozen=True)
class Source:
    data: dict[str, Any] = field(default_factory=dict)
    places: dict[KeyPath, Place] = field(default_factory=lambda: {(): Place(1, None, "a mapping")})

    def merged(self, path: KeyPath, value: Any, giver: Giver, option: str = "") -> Source:
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
                places[path[:length]] = Place(0, None, "a mapping", giver, option)
        places |= _places(value, path, giver, option)
        return Source(data, places)

    def origins(self, document: str) -> dict[KeyPath, ValueOrigin]:
        """Return the origin of each value; `document` is the file's name."""
        return {
            path: ValueOrigin(place.giver, f"{document}:{place.line}" if place.line else place.option)
            for path, place in self.places.items()
        }


def _places(value: Any, path: KeyPath, giver: Giver, option: str) -> dict[KeyPath, Place]:
    kind, inside = quoted(value) if isinstance(value, str) else str(value), []
    if isinstance(value, dict):
        kind, inside = "a mapping", list(value.items())
    elif isinstance(value, list | tuple):
        kind, inside = "a list", list(enumerate(value))
    places = {path: Place(0, None, kind, giver, option)}
    for key, inner in inside:
        places |= _places(inner, (*path, key), giver, option)
    return places


def read(text: str) -> Source:
    """Return the one mapping in `text`, empty if `text` says nothing. Raises Refused."""
    data, written = spec_document(text)
    if data is None:
        return Source()
    if not isinstance(data, dict):
        line, _, kind = written[()]
        raise Refused(Fault(line, f"the document must be a mapping of keys, not {kind}"))
    return Source(data, {path: Place(*place) for path, place in written.items()})
