"""YAML as kubectl understands it: dates and keys of any kind are text, since it becomes JSON, which has no others.

It is read by libyaml, which most builds of PyYAML have and which takes a tenth of the time.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection
from itertools import chain
from typing import Any

import yaml

MAX_DEPTH = 150
MAX_VALUES = 1_000_000  # the manifests that large projects publish as one file have a third of that
PREFIX = "tag:yaml.org,2002:"
_TEXT, _MAPPING, _SEQUENCE = (PREFIX + kind for kind in ("str", "map", "seq"))
_TRUTH, *_NUMBERS = (PREFIX + kind for kind in ("bool", "int", "float"))
TAGS = {PREFIX + kind for kind in ("map", "seq", "str", "int", "float", "bool", "null", "merge", "value")}

_Safe: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_SafeDumper: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)

# Strings that no reader takes for a number, a boolean or a date, in YAML 1.1 or 1.2.
_WORD = re.compile(r"[A-Za-z_/][\w./:+=-]*", re.ASCII)
_NOT_WORDS = frozenset({"y", "n", "yes", "no", "on", "off", "true", "false", "null"})


class _Loader(_Safe):  # type: ignore[misc]  # either is a safe loader
    """PyYAML's safe loader without its timestamps, and with keys that are text."""

    tags = TAGS

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[str, Any]:
        """Return the mapping; a number or a truth for a key is written as in JSON."""
        made = super().construct_mapping(node, deep=deep)
        return {key if isinstance(key, str) else json.dumps(key): value for key, value in made.items()}


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


class _Core(_Loader):
    """YAML as compose reads it: with the truths and numbers of 1.2 only, `yes` and `22:22` are text."""


# In YAML 1.1 the latter is a number to the base of sixty.
_Core.yaml_implicit_resolvers = {
    first: [
        (
            tag,
            re.compile(
                "^(?:true|True|TRUE|false|False|FALSE)$" if tag == _TRUTH else rf"(?!.*:){pattern.pattern}", re.X
            ),
        )
        if tag in (_TRUTH, *_NUMBERS)
        else (tag, pattern)
        for tag, pattern in resolvers
    ]
    for first, resolvers in _Loader.yaml_implicit_resolvers.items()
}


class Unusable(yaml.YAMLError):
    """YAML that JSON cannot represent, or too much of it."""


def reason(error: yaml.YAMLError) -> str:
    """Return what is wrong and in which line, without the name that PyYAML gives to every text."""
    return str(error).replace('in "<unicode string>", ', "in ").replace('in "<byte string>", ', "in ")


def documents(text: str | bytes, *, core: bool = False) -> list[Any]:
    """Return every document of a stream; raises yaml.YAMLError. With `core` it is as compose reads it."""
    return [content for _, content in placed_documents(text, core=core)]


def placed_documents(text: str | bytes, *, core: bool = False) -> list[tuple[int, Any]]:
    """Return every document of a stream with the line that its content begins at; raises yaml.YAMLError."""
    loader, found = (_Core if core else _Loader)(text), []
    known = _Known(loader.tags, unique=core)
    try:
        while loader.check_node():
            node = loader.get_node()
            found.append((node.start_mark.line + 1, _content(loader, node, known)))
    except (ValueError, KeyError, AttributeError, TypeError, RecursionError) as error:  # of PyYAML's constructors
        raise Unusable(f"a value cannot be used: {error}") from error
    finally:
        loader.dispose()
    return found


def document(text: str | bytes, *, core: bool = False) -> Any:
    """Return the only document of `text`, None when it is empty; raises yaml.YAMLError."""
    found = documents(text, core=core)
    if len(found) > 1:
        raise Unusable("a second document begins; only one is allowed")
    return found[0] if found else None


def _content(loader: _Loader, node: yaml.Node, known: _Known) -> Any:
    """Return the content of a document; plain values, which nearly all documents have, take a third of the time."""
    plain = _Plain(loader)
    try:
        content = plain.value(node, 0)
    except _Odd:
        known.measure(node)
        return loader.construct_document(node)
    known.add(plain.count)
    return content


class _Odd(Exception):
    """A document contains more than plain values."""


class _Plain:
    """Converts nodes to values and counts them, while keys are text and nothing is repeated, merged or deep."""

    def __init__(self, loader: _Loader) -> None:
        self.count = 0
        self._loader = loader
        self._seen: set[int] = set()

    def value(self, node: yaml.Node, depth: int) -> Any:
        """Return the value of a node. Raises _Odd, and the errors of PyYAML's constructors."""
        self.count += 1
        if node.__class__ is yaml.ScalarNode and node.tag in TAGS:
            return node.value if node.tag == _TEXT else self._loader.construct_object(node)
        if id(node) in self._seen or depth >= MAX_DEPTH - 1:
            raise _Odd
        self._seen.add(id(node))
        if node.__class__ is yaml.SequenceNode and node.tag == _SEQUENCE:
            return [self.value(one, depth + 1) for one in node.value]
        if node.__class__ is not yaml.MappingNode or node.tag != _MAPPING:
            raise _Odd
        made: dict[str, Any] = {}
        self.count += len(node.value)
        for key, value in node.value:
            if key.__class__ is not yaml.ScalarNode or key.tag != _TEXT or key.value in made:
                raise _Odd
            made[key.value] = self.value(value, depth + 1)
        return made


class _Known:
    """The size and depth of each node of a stream with its aliases expanded, found without expanding them.

    With `unique` no mapping may have a key twice.
    """

    def __init__(self, tags: Collection[str], *, unique: bool) -> None:
        self._tags = tags
        self._unique = unique
        self._measured: dict[int, tuple[int, int]] = {}
        self._open: set[int] = set()
        self._total = 0

    def measure(self, node: yaml.Node) -> None:
        """Raise Unusable when this document and those before are too large together."""
        self.add(self._of(node, 0)[0])
        self._measured.clear()  # nodes of the next document may have the same ids

    def add(self, values: int) -> None:
        """Count the values of a document. Raises Unusable when there are too many, together with those before."""
        self._total += values
        if self._total > MAX_VALUES:
            raise Unusable(f"more than {MAX_VALUES} values, once aliases are expanded")

    def _of(self, node: yaml.Node, depth: int) -> tuple[int, int]:
        """Return the number of values in the node, itself included, and the levels below it."""
        if node.tag not in self._tags:
            raise Unusable(f"the tag {str(node.tag).replace(PREFIX, '!!')} is not allowed")
        if isinstance(node, yaml.ScalarNode):
            return 1, 0
        if id(node) in self._open:
            raise Unusable("an alias (*name) stands inside its own anchor (&name)")
        size, height = self._measured.get(id(node), (0, 0))
        if not size:
            self._open.add(id(node))
            size = 1
            if self._unique and isinstance(node, yaml.MappingNode):
                _require_unique(node)
            inside = chain.from_iterable(node.value) if isinstance(node, yaml.MappingNode) else node.value
            for one in inside if depth < MAX_DEPTH else ():
                if one.__class__ is yaml.ScalarNode and one.tag in TAGS:  # most are, and a call takes its time
                    size += 1
                    continue
                more, deep = self._of(one, depth + 1)
                size, height = size + more, max(height, deep + 1)
            self._open.discard(id(node))
            self._measured[id(node)] = size, height
        if depth + height >= MAX_DEPTH:
            raise Unusable(f"values are nested more than {MAX_DEPTH} levels deep")
        return size, height


def _require_unique(node: yaml.MappingNode) -> None:
    seen: set[str] = set()
    for key, _ in node.value:
        if isinstance(key, yaml.ScalarNode):
            if key.value in seen:
                raise Unusable(f"the key {key.value} is given a second time in line {key.start_mark.line + 1}")
            seen.add(key.value)


class _Dumper(_SafeDumper):  # type: ignore[misc]  # either is a safe dumper
    """PyYAML's safe dumper, which quotes every string that is not plainly a word; several lines are a block.

    Go's YAML takes more strings for numbers and booleans than PyYAML does ("1e3", "0o17", "y"), and kubectl then
    refuses the whole file (go-yaml, resolve.go).
    """


def _string(dumper: Any, text: str) -> Any:
    plain = _WORD.fullmatch(text) and text.lower() not in _NOT_WORDS
    # The dumper quotes lines that a block would not keep as they are, with tabs or other signs.
    style = None if plain else "|" if "\n" in text.rstrip("\n") else '"'
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _string)


def dump(content: Any) -> bytes:
    """Return one document that PyYAML and kubectl read alike."""
    text: str = yaml.dump(content, Dumper=_Dumper, sort_keys=False)
    return text.encode()
