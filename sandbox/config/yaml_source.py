"""A document's plain data with the place of every value, so that errors can point at what was written."""

from __future__ import annotations

import enum
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import yaml

from sandbox.config.yaml_nodes import MAX_DEPTH, TAG, Fault, Refused, compose, kind_of, line_of, quoted

KeyPath = tuple[str | int, ...]

# The key of the edge in a document, and its earlier name, which is still accepted and is the one in the models.
EDGE_KEY, OLD_EDGE_KEY = "edge", "proxy"
MAX_VALUES = 100_000  # after aliases are expanded


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
        return self.where or _GIVERS[self.giver]


_GIVERS = {
    Giver.DEFAULT: "default",
    Giver.RECORDED: "the last up",
    Giver.FOLDER: "its folder",
    Giver.PROGRAM: "a program",
}


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
        """Tell whether nothing was written at all, as in `key:`."""
        return self.kind == "nothing" and self.raw == ""


@dataclass(frozen=True)
class Source:
    """A document's data and the place of every value in it; `()` is the document itself."""

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
            if self.places.get(path[:length], _NOWHERE).kind == "nothing" or path[:length] not in places:
                places[path[:length]] = Place(0, None, "a mapping", giver, option)
        places |= _places(value, path, giver, option)
        return Source(data, places)

    def with_edge(self) -> Source:
        """Return the same with the edge under its present name; the places of an earlier one are under both names.

        Raises Refused for a document that has both names.
        """
        if OLD_EDGE_KEY not in self.data:
            return self
        if EDGE_KEY in self.data:
            fix = f"leave out `{OLD_EDGE_KEY}:`"
            raise Refused(Fault(self.places[(OLD_EDGE_KEY,)].line, "`proxy` and `edge` are names of one key", fix))
        data = {EDGE_KEY if key == OLD_EDGE_KEY else key: value for key, value in self.data.items()}
        same = {(EDGE_KEY, *at[1:]): place for at, place in self.places.items() if at[:1] == (OLD_EDGE_KEY,)}
        return Source(data, {**self.places, **same})

    def origins(self, document: str) -> dict[KeyPath, ValueOrigin]:
        """Return the origin of each value; `document` is the file's name."""
        return {
            path: ValueOrigin(place.giver, f"{document}:{place.line}" if place.line else place.option)
            for path, place in self.places.items()
        }


_NOWHERE = Place(0, None, "a mapping")


def _places(value: Any, path: KeyPath, giver: Giver, option: str) -> dict[KeyPath, Place]:
    """Return a place for a plain value and for each one in it."""
    found: dict[KeyPath, Place] = {}
    match value:
        case dict():
            kind, inside = "a mapping", list(value.items())
        case list() | tuple():
            kind, inside = "a list", list(enumerate(value))
        case _:
            kind, inside = quoted(value) if isinstance(value, str) else str(value), []
    found[path] = Place(0, None, kind, giver, option)
    for key, inner in inside:
        found |= _places(inner, (*path, key), giver, option)
    return found


def read(text: str) -> Source:
    """Return the one mapping in `text`, empty if `text` says nothing; raises Refused."""
    node = compose(text)
    if node is None or (isinstance(node, yaml.ScalarNode) and node.tag == TAG + "null"):
        return Source()
    if not isinstance(node, yaml.MappingNode):
        raise Refused(Fault(line_of(node), f"the document must be a mapping of keys, not {kind_of(node)}"))
    reading = _Reading()
    data = reading.value(node, (), line_of(node))
    if reading.faults:
        raise Refused(*reading.faults)
    return Source(data, reading.places)


class _Reading:
    """One walk over a node graph: the places it finds, the faults it collects."""

    def __init__(self) -> None:
        self.places: dict[KeyPath, Place] = {}
        self.faults: list[Fault] = []
        self.open: set[int] = set()

    def value(self, node: yaml.Node, path: KeyPath, line: int) -> Any:
        """Return the plain value of `node`, written at `path` and `line`; None where a fault was noted."""
        if len(self.places) >= MAX_VALUES or len(path) > MAX_DEPTH:
            raise Refused(Fault(line, "aliases expand too far", "write the values out without aliases"))
        if id(node) in self.open:
            raise Refused(Fault(line, "an alias (*name) stands inside its own anchor (&name)"))
        self.places[path] = Place(line, node.value if isinstance(node, yaml.ScalarNode) else None, kind_of(node))
        if isinstance(node, yaml.ScalarNode):
            return self.scalar(node)
        if node.tag not in (TAG + "map", TAG + "seq"):
            return self.tag(node)
        self.open.add(id(node))
        result = self.mapping(node, path) if isinstance(node, yaml.MappingNode) else self.sequence(node, path)
        self.open.discard(id(node))
        return result

    def sequence(self, node: yaml.Node, path: KeyPath) -> list[Any]:
        return [self.value(item, (*path, index), line_of(item)) for index, item in enumerate(node.value)]

    def mapping(self, node: yaml.MappingNode, path: KeyPath) -> dict[str, Any]:
        result: dict[str, Any] = {}
        first: dict[str, int] = {}
        for key_node, value_node in node.value:
            key, line = key_node.value, line_of(key_node)
            if not isinstance(key_node, yaml.ScalarNode) or key_node.tag != TAG + "str":
                quoted = isinstance(key_node, yaml.ScalarNode) and key_node.tag.startswith(TAG) and key
                fix = f"put it in quotes: '{key}'" if quoted else ""
                self.faults.append(Fault(line, f"a key must be text, not {kind_of(key_node)}", fix))
            elif key == "<<":
                self.faults.append(Fault(line, "merge keys ('<<') are not supported", "write the keys out"))
            elif key in first:
                message = f"key '{key}' is given twice, first on line {first[key]}"
                self.faults.append(Fault(line, message, "keep one of them"))
            else:
                first[key] = line
                result[key] = self.value(value_node, (*path, key), line)
        return result

    def scalar(self, node: yaml.ScalarNode) -> Any:
        convert = _SCALARS.get(node.tag)
        if convert is None:
            return self.tag(node)
        try:
            return convert(node.value)
        except (ValueError, KeyError):
            kind = node.tag.removeprefix(TAG)
            self.faults.append(Fault(line_of(node), f"{quoted(node.value)} is not a usable {_NAMES.get(kind, kind)}"))
            return None

    def tag(self, node: yaml.Node) -> None:
        tag = str(node.tag).replace(TAG, "!!")
        self.faults.append(
            Fault(line_of(node), f"the tag {quoted(tag)} is not allowed", "remove it: only plain values are")
        )


def _integer(raw: str) -> int:
    value = int(raw, 16) if raw.startswith("0x") else int(raw)
    if abs(value) >= 1 << 63:
        raise ValueError(raw)
    return value


def _float(raw: str) -> float:
    value = float(raw)
    if not math.isfinite(value):
        raise ValueError(raw)
    return value


def _text(raw: str) -> str:
    raw.encode()  # half of a surrogate pair is no text
    return raw


_NAMES = {"str": "text", "int": "whole number", "float": "number", "bool": "boolean", "null": "null"}
_SCALARS: dict[str, Callable[[str], Any]] = {
    TAG + "str": _text,
    TAG + "int": _integer,
    TAG + "float": _float,
    TAG + "bool": lambda raw: {"true": True, "false": False}[raw.lower()],
    TAG + "null": lambda raw: None,
}
