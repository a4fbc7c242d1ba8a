"""YAML as kubectl understands it: what looks like a date is text, since JSON, which it becomes, knows no dates.

It is read by libyaml, which most builds of PyYAML have and which takes a tenth of the time.
"""

from __future__ import annotations

import re
from itertools import chain
from typing import Any

import yaml

MAX_DEPTH = 150
MAX_VALUES = 1_000_000  # the manifests that large projects publish as one file have a third of that
PREFIX = "tag:yaml.org,2002:"
TAGS = {PREFIX + kind for kind in ("map", "seq", "str", "int", "float", "bool", "null", "merge", "value")}

_Safe: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_SafeDumper: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)

# Strings that no reader takes for a number, a truth or a date, of YAML 1.1 or 1.2.
_WORD = re.compile(r"[A-Za-z_/][\w./:+=-]*", re.ASCII)
_NOT_WORDS = frozenset({"y", "n", "yes", "no", "on", "off", "true", "false", "null"})


class _Loader(_Safe):  # type: ignore[misc]  # either is a safe loader
    """PyYAML's safe loader without its timestamps."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


class Unusable(yaml.YAMLError):
    """YAML that is not what JSON can hold, or too much of it."""


def documents(text: str | bytes) -> list[Any]:
    """Return every document of a stream; raises yaml.YAMLError."""
    return [content for _, content in placed_documents(text)]


def placed_documents(text: str | bytes) -> list[tuple[int, Any]]:
    """Return every document of a stream with the line that its content begins at; raises yaml.YAMLError."""
    loader, found, known = _Loader(text), [], _Known()
    try:
        while loader.check_node():
            node = loader.get_node()
            known.measure(node)
            found.append((node.start_mark.line + 1, loader.construct_document(node)))
    except (ValueError, KeyError, AttributeError, TypeError, RecursionError) as error:  # of PyYAML's constructors
        raise Unusable(f"a value cannot be used: {error}") from error
    finally:
        loader.dispose()
    return found


def document(text: str | bytes) -> Any:
    """Return the only document of `text`, None when it is empty; raises yaml.YAMLError."""
    found = documents(text)
    if len(found) > 1:
        raise Unusable("a second document begins; only one is allowed")
    return found[0] if found else None


class _Known:
    """How large and how deep each node of a stream is with its aliases expanded, found without expanding them."""

    def __init__(self) -> None:
        self._measured: dict[int, tuple[int, int]] = {}
        self._open: set[int] = set()
        self._total = 0

    def measure(self, node: yaml.Node) -> None:
        """Raise Unusable when this document is too large, together with those before."""
        self._total += self._of(node, 0)[0]
        if self._total > MAX_VALUES:
            raise Unusable(f"more than {MAX_VALUES} values, once aliases are expanded")
        self._measured.clear()  # nodes of the next document may have the same ids

    def _of(self, node: yaml.Node, depth: int) -> tuple[int, int]:
        """Return the values in the node, itself included, and the levels below it."""
        if node.tag not in TAGS:
            raise Unusable(f"the tag {str(node.tag).replace(PREFIX, '!!')} is not allowed")
        if isinstance(node, yaml.ScalarNode):
            return 1, 0
        if id(node) in self._open:
            raise Unusable("an alias (*name) stands inside its own anchor (&name)")
        size, height = self._measured.get(id(node), (0, 0))
        if not size:
            self._open.add(id(node))
            size = 1
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


class _Dumper(_SafeDumper):  # type: ignore[misc]  # either is a safe dumper
    """PyYAML's safe dumper, which quotes every string that is not plainly a word.

    Go's YAML takes more strings for numbers and truths than PyYAML does ("1e3", "0o17", "y"), and kubectl then refuses
    the whole file (go-yaml, resolve.go).
    """


def _string(dumper: Any, text: str) -> Any:
    plain = _WORD.fullmatch(text) and text.lower() not in _NOT_WORDS
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=None if plain else '"')


_Dumper.add_representer(str, _string)


def dump(content: Any) -> bytes:
    """Return one document that PyYAML and kubectl read alike."""
    text: str = yaml.dump(content, Dumper=_Dumper, sort_keys=False)
    return text.encode()
