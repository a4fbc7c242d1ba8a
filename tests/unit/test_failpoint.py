"""Failpoints break a step at every call by which the engine changes something."""

from __future__ import annotations

from importlib.util import find_spec

from sandbox.engine import Engine
from tests.support import failpoint


def test_doors_are_all_parts_of_the_engine_that_change_something() -> None:
    parts = {one.__module__ for one in Engine.__mro__} - {"builtins"}
    asking = {f"sandbox.engine.{name}" for name in ("base", "connection")}
    assert parts - failpoint.DOORS == asking
    assert [name for name in failpoint.DOORS if find_spec(name) is None] == []
