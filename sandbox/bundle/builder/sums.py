"""The checksums of all recipes' Go modules in one file: many are of several recipes, and would be in the package again.

A line is that of a go.sum after the names of the recipes whose go.sum has it; `scripts/sums` takes them out and in.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path

NAME = "go.sums"


@functools.cache
def lines(path: Path) -> Mapping[str, frozenset[str]]:
    """Every line of a go.sum, in Go's order, and the recipes that have it."""
    parted = (line.partition(" ") for line in path.read_text(encoding="utf-8").splitlines())
    return {line: frozenset(names.split(",")) for names, _, line in parted}


def go_sum(path: Path, recipe: str) -> bytes:
    """The go.sum of a recipe, byte for byte; empty for one without Go modules."""
    return "".join(f"{line}\n" for line, names in lines(path).items() if recipe in names).encode()
