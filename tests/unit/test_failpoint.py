"""Failpoints break the step that they name, at the moment that they name, once."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import pytest

from sandbox.engine import Engine
from sandbox.errors import SandboxError
from sandbox.plan import lifecycle
from sandbox.report import Silent
from sandbox.step import Work
from sandbox.system import files
from tests.support import failpoint
from tests.support.failpoint import Failpoint
from tests.support.fakes import FakeStep


@pytest.fixture(autouse=True)
def disarmed() -> Iterator[None]:
    yield
    failpoint.arm(None)


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("cluster:before:kill", Failpoint(step="cluster", moment="before", action="kill")),
        ("pod-proxy:during:hang", Failpoint(step="pod-proxy", moment="during", action="hang", call=1)),
        ("edge:during=7:hup", Failpoint(step="edge", moment="during", action="hup", call=7)),
        ("https:after:enospc", Failpoint(step="https", moment="after", action="enospc")),
    ],
)
def test_failpoint_is_parsed(text: str, meant: Failpoint) -> None:
    assert Failpoint.parse(text) == meant
    with pytest.raises(ValueError, match="is not STEP:"):
        Failpoint.parse(f"{text}:explode")


def _writes(folder: Path, name: str, work: Work | None = None) -> None:
    for part in ("first", "second", "third"):
        files.write_atomic(folder / f"{name}.{part}", b"", mode=0o600)


@pytest.mark.parametrize(
    ("moment", "made"),
    [
        ("before", set()),
        ("during", {"b.first"}),
        ("during=2", {"b.first", "b.second"}),
        ("during=9", {"b.first", "b.second", "b.third"}),
        ("after", {"b.first", "b.second", "b.third"}),
    ],
)
@pytest.mark.parametrize("undone", [False, True])
def test_failpoint_fires_in_its_phase_of_its_step(tmp_path: Path, moment: str, made: set[str], undone: bool) -> None:
    plan = [FakeStep("a", {"a", "b"}), FakeStep("b", {"a", "b"} if undone else set())]
    for step in plan:
        step.making, step.unmaking = partial(_writes, tmp_path, step.name), partial(_writes, tmp_path, step.name)
    failpoint.arm(Failpoint.parse(f"b:{moment}:raise"))
    walk: Callable[[], object] = (
        partial(lifecycle.down, plan, Silent()) if undone else partial(lifecycle.up, plan, Silent(), keep=True)
    )
    with pytest.raises(SandboxError, match="a failpoint was reached"):
        walk()
    assert {path.name for path in tmp_path.glob("b.*")} == made
    assert sys.getprofile() is None
    walk()


def test_doors_are_all_parts_of_the_engine_that_change_something() -> None:
    parts = {one.__module__ for one in Engine.__mro__} - {"builtins"}
    asking = {f"sandbox.engine.{name}" for name in ("base", "connection")}
    assert parts - failpoint.DOORS == asking
    assert [name for name in failpoint.DOORS if find_spec(name) is None] == []
