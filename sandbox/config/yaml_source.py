"""A document's plain data with the place of every value, so that errors can point at what was written."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from sandbox.config.yaml_text import Fault, KeyPath, Place, Refused, quoted, spec_document

# Origins of values besides FILE:LINE and the options of the command line.
DEFAULT, RECORDED, FOLDER, PROGRAM, PROJECT = "default", "the last up", "its folder", "a program", "the project"


@dataclass(frozen=True)
class Source:
    data: dict[str, Any] = field(default_factory=dict)
    places: dict[KeyPath, Place] = field(default_factory=lambda: {(): Place(1, None, "a mapping")})

    def merged(self, path: KeyPath, value: Any, origin: str, *, is_option: bool = False) -> Source:
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
                places[path[:length]] = Place(0, None, "a mapping", origin, is_option)
        places |= _places(value, path, origin, is_option)
        return Source(data, places)

    def origins(self, document: str) -> dict[KeyPath, str]:
        """Return the origin of each value that was given; `document` is the file's name."""
        given = ((path, place) for path, place in self.places.items() if not place.is_blank)
        return {path: place.origin or f"{document}:{place.line}" for path, place in given}


def _places(value: Any, path: KeyPath, origin: str, is_option: bool) -> dict[KeyPath, Place]:
    kind, inside = quoted(value) if isinstance(value, str) else str(value), []
    if isinstance(value, dict):
        kind, inside = "a mapping", list(value.items())
    elif isinstance(value, list | tuple):
        kind, inside = "a list", list(enumerate(value))
    places = {path: Place(0, None, kind, origin, is_option)}
    for key, inner in inside:
        places |= _places(inner, (*path, key), origin, is_option)
    return places


def read(text: str) -> Source:
    """Return the one mapping in `text`, empty if `text` says nothing. Raises Refused."""
    data, places = spec_document(text)
    if data is None:
        return Source()
    if not isinstance(data, dict):
        place = places[()]
        raise Refused(Fault(place.line, f"the document must be a mapping of keys, not {place.kind}"))
    return Source(data, places)
