"""The syntax trees of the package's modules, for tests of what holds for all of its code."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from functools import cache
from pathlib import Path

import sandbox

PACKAGE = Path(sandbox.__file__).parent


@cache
def syntax_trees() -> Mapping[str, ast.Module]:
    """Every module by its path below the package; parsed once, which takes two seconds."""
    files = sorted(PACKAGE.rglob("*.py"))
    return {file.relative_to(PACKAGE).as_posix(): ast.parse(file.read_text(encoding="utf-8")) for file in files}
