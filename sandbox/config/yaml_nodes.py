"""Parses YAML to a graph of nodes with their lines; refuses invalid, too large and too deep documents.

Plain scalars are numbers, booleans or null only where YAML 1.1 and 1.2 agree; everything else (`no`, `0443`, `1e3`,
`2026-01-01`) is text, so that nothing changes its meaning unnoticed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain
from typing import Any

import yaml

MAX_SIZE = 1 << 20  # bytes or characters; a spec or a manifest is a few kB
MAX_DEPTH = 32

TAG = "tag:yaml.org,2002:"
# PyYAML's contexts whose mark is where something was opened
_OPENED = ("while parsing a flow sequence", "while parsing a flow mapping", "while scanning a quoted scalar")


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


class Refused(Exception):
    """The document cannot be accepted; `faults` says why, at least one."""

    def __init__(self, *faults: Fault) -> None:
        super().__init__(*faults)
        self.faults = faults


def too_large() -> Fault:
    """Return the fault of a document over MAX_SIZE."""
    return Fault(1, "the document is larger than 1 MiB", "split it, or check that this is the right file")


class _Loader(yaml.SafeLoader):
    """Composes nodes, no deeper than MAX_DEPTH and with few implicit types; never constructs anything."""

    yaml_implicit_resolvers = {}
    depth = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            mark = self.get_mark()
            raise Refused(Fault(mark.line + 1, f"values are nested more than {MAX_DEPTH} levels deep"))
        node: yaml.Node | None = super().compose_node(parent, index)
        self.depth -= 1
        return node


for _name, _pattern, _first in (
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("bool", r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    ("int", r"[-+]?(0|[1-9][0-9]*)|0x[0-9a-fA-F]+", list("-+0123456789")),
    ("float", r"[-+]?(0|[1-9][0-9]*)\.[0-9]+([eE][-+][0-9]+)?", list("-+0123456789")),
):
    _Loader.add_implicit_resolver(TAG + _name, re.compile(rf"^({_pattern})$"), _first)


_Safe: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Quick(_Safe):  # type: ignore[misc]  # either is a safe loader
    """libyaml, if PyYAML has it: it takes a tenth of the time, and has less to say about errors."""

    yaml_implicit_resolvers = _Loader.yaml_implicit_resolvers


def compose(text: str) -> yaml.Node | None:
    """Return the node graph of the only document in `text`, None if there is none; raises Refused."""
    if len(text) > MAX_SIZE:
        raise Refused(too_large())
    with suppress(yaml.YAMLError, ValueError, OverflowError):  # then the other loader reports what is wrong
        quick = _Quick(text)
        node: yaml.Node | None = quick.get_single_node()
        if node is None or _depth(node) <= MAX_DEPTH:
            return node
    loader = None
    try:
        loader = _Loader(text)
        node = loader.get_node() if loader.check_node() else None
        if loader.check_node():
            line = loader.peek_event().start_mark.line + 1  # type: ignore[no-untyped-call]
            raise Refused(Fault(line, "a second document begins here; only one is allowed", "put it in its own file"))
    except yaml.MarkedYAMLError as error:
        raise Refused(_syntax(error)) from error
    except yaml.reader.ReaderError as error:
        line = text[: error.position].count("\n") + 1
        raise Refused(
            Fault(line, f"not valid YAML: control character U+{int(error.character):04X}", "remove it")
        ) from error
    except (ValueError, OverflowError) as error:
        line = loader.get_mark().line + 1 if loader else 1
        raise Refused(Fault(line, "not valid YAML: an escape beyond the end of Unicode")) from error
    return node


def _depth(node: yaml.Node) -> int:
    """Return the depth of a node, with each node counted where it is met first."""
    depth, level, seen = 0, [node], {id(node)}
    while level:
        depth += 1
        inside = {id(one): one for each in level for one in _inside(each) if id(one) not in seen}
        seen |= inside.keys()
        level = list(inside.values())
    return depth


def _inside(node: yaml.Node) -> Iterable[yaml.Node]:
    if isinstance(node, yaml.MappingNode):
        return chain.from_iterable(node.value)
    return node.value if isinstance(node, yaml.SequenceNode) else ()


def _syntax(error: yaml.MarkedYAMLError) -> Fault:
    mark = error.problem_mark or error.context_mark
    problem = error.problem or error.context or "unreadable"
    fix = ""
    if "<stream end>" in problem or "end of stream" in problem:
        opened = error.context in _OPENED
        mark = error.context_mark if opened else mark
        problem = "what opens here is never closed" if opened else "the document ends in the middle of a value"
    elif "'\\t'" in problem:
        problem, fix = "a tab where only spaces may stand", "indent with spaces"
    elif "mapping values are not allowed" in problem:
        fix = "put text that holds ': ' in quotes, and line keys up with their neighbours"
    elif "undefined alias" in problem:
        fix = "define the anchor (&name) above, or put text that begins with '*' in quotes"
    elif error.context and not isinstance(error, yaml.composer.ComposerError):
        problem = f"{problem} ({error.context})"
    line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
    return Fault(line, f"not valid YAML: {problem}", fix, column)


def line_of(node: yaml.Node) -> int:
    """Return the line `node` begins on, from 1."""
    return int(node.start_mark.line) + 1


def kind_of(node: yaml.Node) -> str:
    """Return what `node` is, for the end of `must be …, not …`."""
    if isinstance(node, yaml.MappingNode):
        return "a mapping"
    if isinstance(node, yaml.SequenceNode):
        return "a list"
    if node.tag == TAG + "null":
        return "nothing"
    return quoted(node.value) if node.tag == TAG + "str" else str(node.value)


def quoted(raw: str) -> str:
    """Return `raw` in quotes, short and printable."""
    shown = raw[:61]
    if not shown.isprintable():
        shown = "".join(character if character.isprintable() else "?" for character in shown)
    return f"'{shown[:60]}…'" if len(raw) > 60 else f"'{shown}'"
