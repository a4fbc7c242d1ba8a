"""Reads YAML by libyaml with the line of every value, and writes YAML that PyYAML and kubectl read alike.

Kubernetes reads YAML 1.1 and makes JSON of it; a spec and a compose file have no value that 1.1 and 1.2 read otherwise.
"""

import json
import math
import re
from dataclasses import dataclass, field
from typing import Any

import yaml

MAX_DEPTH = 100
# Values with aliases expanded. The manifests that large projects publish as one file have a third, a spec has hundreds.
MAX_VALUES, MAX_SPEC_VALUES = 1_000_000, 50_000
LARGEST_BITS = 64  # of a whole number
TAG = "tag:yaml.org,2002:"

KeyPath = tuple[str | int, ...]

# Strings that no reader takes for a number, a boolean or a date, in YAML 1.1 or 1.2.
_WORD = re.compile(r"[A-Za-z_/][\w./:+=-]*", re.ASCII)
_NOT_WORDS = frozenset({"y", "n", "yes", "no", "on", "off", "true", "false", "null"})


@dataclass(frozen=True)
class Fault:
    """An error in a document, at a line and perhaps a column (both from 1); line 0 is unknown.

    `option` is the command line's if the value is from there.
    """

    line: int
    message: str
    fix: str = ""
    column: int | None = None
    option: str = ""


@dataclass(frozen=True)
class Place:
    """Where a value was written: its line (or its key's), its text if it is a scalar, and what it is in words.

    A value from elsewhere has the line 0 and the `origin`, which may be an option of the command line.
    """

    line: int
    raw: str | None
    kind: str
    origin: str = ""
    is_option: bool = False

    @property
    def is_blank(self) -> bool:
        return self.kind == "nothing" and self.raw == ""


Places = dict[KeyPath, Place]


class Refused(yaml.YAMLError):
    def __init__(self, *faults: Fault) -> None:
        super().__init__("; ".join(f"line {fault.line}: {fault.message}" for fault in faults))
        self.faults = faults


# Plain scalars are those of YAML 1.1, but dates are text: JSON has none.
class _Kubernetes(yaml.CSafeLoader):
    yaml_implicit_resolvers = {
        first: [(tag, pattern) for tag, pattern in resolvers if tag != f"{TAG}timestamp"]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


# Plain scalars are numbers, truths or null only where YAML 1.1 and 1.2 agree. All else (`no`, `0443`) is text.
class _Plain(yaml.CSafeLoader):
    yaml_implicit_resolvers = {}


for _name, _pattern, _first in (
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("bool", r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    ("int", r"[-+]?(0|[1-9][0-9]*)|0x[0-9a-fA-F]+", list("-+0123456789")),
    ("float", r"[-+]?(0|[1-9][0-9]*)\.[0-9]+([eE][-+][0-9]+)?", list("-+0123456789")),
    ("merge", r"<<", ["<"]),
):
    _Plain.add_implicit_resolver(TAG + _name, re.compile(rf"^({_pattern})$"), _first)


def documents(text: str | bytes) -> list[Any]:
    return [content for _, content in placed_documents(text)]


def placed_documents(text: str | bytes) -> list[tuple[int, Any]]:
    """Return every document of a stream with the line that its content begins at. Raises Refused."""
    return _Walk(_Kubernetes).read(text)


def document(text: str | bytes) -> Any:
    """Return the only document of `text`, None when it is empty, as Kubernetes reads it. Raises Refused."""
    return _only(placed_documents(text))


def compose_document(text: str) -> Any:
    """Return the only document of a compose file, None when it is empty. Raises Refused."""
    return _only(_Walk(_Plain).read(text))


def spec_document(text: str) -> tuple[Any, Places]:
    """Return the only document of a spec, None when it is empty, and how every value was written. Raises Refused."""
    places: Places = {}
    return _only(_Walk(_Plain, places).read(text)), places


def _only(contents: list[tuple[int, Any]]) -> Any:
    if len(contents) > 1:
        message = "a second document begins here; only one is allowed"
        raise Refused(Fault(contents[1][0], message, "put it in its own file"))
    return contents[0][1] if contents else None


# A spec's `places` get how every value was written; a spec has no merge keys ('<<').
@dataclass
class _Walk:
    kind: type[yaml.CSafeLoader]
    places: Places | None = None
    count: int = 0
    faults: list[Fault] = field(default_factory=list)

    def read(self, text: str | bytes) -> list[tuple[int, Any]]:
        nodes: list[Any] = []
        try:
            self.loader = self.kind(text)
            while self.loader.check_node():
                nodes.append(self.loader.get_node())
        except yaml.MarkedYAMLError as error:
            mark, context = error.problem_mark or error.context_mark, error.context or ""
            problem = error.problem or context or "unreadable"
            if "flow" in context and "did not find expected" in problem:
                mark = error.context_mark or mark  # the bracket that is not closed; the other is after the end
            line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
            raise Refused(Fault(line, f"not valid YAML: {problem}", column=column)) from error
        except yaml.reader.ReaderError as error:
            raw = text.encode() if isinstance(text, str) else text
            line = raw[: error.position].count(b"\n") + 1
            raise Refused(Fault(line, f"not valid YAML: {error.reason}", "remove it")) from error
        except (ValueError, OverflowError, RecursionError) as error:
            raise Refused(Fault(1, f"not valid YAML: {error}")) from error
        contents = [(_line(node), self.value(node, (), _line(node))) for node in nodes]
        if self.faults:
            raise Refused(*self.faults)
        return contents

    def value(self, node: yaml.Node, path: KeyPath, line: int) -> Any:
        self.count += 1
        most = MAX_VALUES if self.places is None else MAX_SPEC_VALUES
        if self.count > most:
            raise Refused(Fault(line, f"more than {most} values, once aliases are expanded"))
        if len(path) >= MAX_DEPTH:  # as an alias (*name) inside its own anchor (&name) is, too
            raise Refused(Fault(line, f"values are nested more than {MAX_DEPTH} levels deep"))
        if self.places is not None:
            raw = node.value if isinstance(node, yaml.ScalarNode) else None
            self.places[path] = Place(line, raw, _kind_of(node))
        tag = str(node.tag).removeprefix(TAG)
        match node:
            case yaml.MappingNode() if tag == "map":
                return self.mapping(node, path)
            case yaml.SequenceNode() if tag == "seq":
                return [self.value(entry, (*path, index), _line(entry)) for index, entry in enumerate(node.value)]
            case yaml.ScalarNode() if tag in ("str", "value", "merge"):
                return node.value
            case yaml.ScalarNode() if tag in ("null", "bool", "int", "float"):
                return self.scalar(node)
        shown = quoted(str(node.tag).replace(TAG, "!!"))
        self.faults.append(
            Fault(_line(node), f"the tag {shown} is not allowed", "remove it: only plain values are read")
        )
        return None

    def mapping(self, node: yaml.MappingNode, path: KeyPath) -> dict[str, Any]:
        content: dict[str, Any] = {}
        merged: dict[str, Any] = {}
        first: dict[str, int] = {}
        for key_node, value_node in node.value:
            key, line = self.key(key_node), _line(key_node)
            if key is None:
                continue
            if key_node.tag == f"{TAG}merge":
                inner = self.value(value_node, (*path, key), line)
                parts = inner if isinstance(inner, list) else [inner]
                if not all(isinstance(part, dict) for part in parts):
                    self.faults.append(Fault(line, "a merge key ('<<') needs a mapping", "write the keys out"))
                    continue
                for part in parts:
                    merged = {**part, **merged}
            elif self.kind is _Plain and key in first:
                message = f"key '{key}' is given twice, first on line {first[key]}"
                self.faults.append(Fault(line, message, "keep one of them"))
            else:
                first[key] = line
                content[key] = self.value(value_node, (*path, key), line)
        return {**merged, **content} if merged else content

    def key(self, node: yaml.Node) -> str | None:
        self.count += 1
        tag = str(node.tag).removeprefix(TAG)
        message = f"a key must be text, not {_kind_of(node)}"
        if isinstance(node, yaml.ScalarNode):
            if tag == "str" or (tag == "merge" and self.places is None):
                return str(node.value)
            if tag == "merge":
                message = "merge keys ('<<') are not supported"
            elif tag in ("null", "bool", "int", "float") and self.kind is _Kubernetes:
                return json.dumps(self.scalar(node))  # as kubectl reads them
        self.faults.append(Fault(_line(node), message))
        return None

    def scalar(self, node: yaml.ScalarNode) -> Any:
        try:
            value = self.loader.construct_object(node)
        except (ValueError, KeyError, IndexError, OverflowError):
            value = math.nan
        if isinstance(value, int) and value.bit_length() > LARGEST_BITS:
            value = math.nan
        if isinstance(value, float) and not math.isfinite(value):
            self.faults.append(Fault(_line(node), f"{quoted(node.value)} is not a usable value"))
        return value


def _line(node: yaml.Node) -> int:
    return int(node.start_mark.line) + 1


def _kind_of(node: yaml.Node) -> str:
    if isinstance(node, yaml.MappingNode):
        return "a mapping"
    if isinstance(node, yaml.SequenceNode):
        return "a list"
    if node.tag == f"{TAG}null":
        return "nothing"
    return quoted(node.value) if node.tag == f"{TAG}str" else str(node.value)


def quoted(raw: str) -> str:
    shown = "".join(letter if letter.isprintable() else "?" for letter in raw[:60])
    return f"'{shown}…'" if len(raw) > 60 else f"'{shown}'"


class _Dumper(yaml.CSafeDumper):
    pass


def _string(dumper: Any, text: str) -> Any:
    # Go's YAML takes more strings for numbers and booleans than PyYAML does ("1e3", "0o17", "y"), and kubectl then
    # refuses the whole file (go-yaml, resolve.go).
    plain = _WORD.fullmatch(text) and text.lower() not in _NOT_WORDS
    # The dumper quotes lines that a block would not keep as they are, with tabs or other signs.
    style = None if plain else "|" if "\n" in text.rstrip("\n") else '"'
    return dumper.represent_scalar(f"{TAG}str", text, style=style)


_Dumper.add_representer(str, _string)


def dump(content: Any) -> bytes:
    text: str = yaml.dump(content, Dumper=_Dumper, sort_keys=False)
    return text.encode()
