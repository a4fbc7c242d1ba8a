"""The syntax trees of the package's modules, for tests of what holds for all of its code."""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

import sandbox

PACKAGE = Path(sandbox.__file__).parent


@cache
def syntax_trees() -> Mapping[str, ast.Module]:
    """Every module by its path below the package; parsed once, which takes two seconds."""
    files = sorted(PACKAGE.rglob("*.py"))
    return {file.relative_to(PACKAGE).as_posix(): ast.parse(file.read_text(encoding="utf-8")) for file in files}


@cache
def nodes() -> Sequence[tuple[str, ast.AST]]:
    return [(name, node) for name, tree in syntax_trees().items() for node in ast.walk(tree)]


@cache
def calls() -> Sequence[tuple[str, ast.Call, str]]:
    """Every call with the path of its module, and what is called if that is a name, with dots or without."""
    return [(path, node, dotted(node.func)) for path, node in nodes() if isinstance(node, ast.Call)]


def dotted(node: ast.AST) -> str:
    """A name or attribute as it is written; of what else an attribute belongs to only the last name."""
    if isinstance(node, ast.Attribute):
        before = dotted(node.value)
        return f"{before}.{node.attr}" if before else f"….{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""
