"""Every row of tests/faults.yaml has a test with its marker, or a reason why it has none."""

from __future__ import annotations

import ast
from pathlib import Path

import yaml

TESTS = Path(__file__).resolve().parents[2]
KINDS = {"fault": "faults", "security": "security"}


def _marked_rows() -> set[tuple[str, int]]:
    rows = set()
    for path in TESTS.rglob("test_*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            for mark in getattr(node, "decorator_list", ()):
                match mark:
                    case ast.Call(func=ast.Attribute(attr="fault" | "security" as kind), args=numbers):
                        rows |= {(KINDS[kind], ast.literal_eval(number)) for number in numbers}
    return rows


def test_each_row_has_a_test_or_a_reason() -> None:
    table = yaml.safe_load((TESTS / "faults.yaml").read_text())
    rows = {(kind, number) for kind in KINDS.values() for number in table[kind]}
    marked = _marked_rows()
    assert not marked - rows, "tests name rows that the table does not have"
    assert not [(kind, number) for kind, number in sorted(rows - marked) if "reason" not in table[kind][number]], (
        "these rows have neither a test nor a reason"
    )
