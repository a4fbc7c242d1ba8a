"""`sandbox snapshot list`: a damaged snapshot is listed with what to do, and fails no command."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sandbox.app import context
from sandbox.snapshot.snapshot_store import MANIFEST, Store
from tests.support import published_json
from tests.unit.cli.test_main import run
from tests.unit.snapshot.test_snapshot_store import keep


@pytest.fixture
def store(isolated_home: Path) -> Store:
    found = Store(context.home().snapshots)
    for name in ("whole", "changed", "torn"):
        keep(found, name)
    (found.place("demo", "changed") / "data.tar").unlink()
    (found.place("demo", "torn") / MANIFEST).write_text("{")
    return found


def test_damaged_ones_are_shown_with_what_to_do(store: Store, tmp_path: Path) -> None:
    found = run("snapshot", "list", cwd=tmp_path)
    assert found.code == 0
    lines = found.stdout.splitlines()
    assert [line.split()[1] for line in lines] == ["changed", "whole", "torn"]
    assert [line.endswith("damaged") for line in lines] == [True, False, True]
    assert "to remove it: sandbox snapshot delete torn -n demo\n" in found.stderr
    assert "data.tar" in found.stderr and "whole" not in found.stderr
    rows = json.loads(run("snapshot", "list", "-o", "json", cwd=tmp_path).stdout)
    published_json.check("snapshot list", rows)
    assert [bool(row["damage"]) for row in rows] == [True, False, True]
    assert [row["made"] is None for row in rows] == [False, False, True]
