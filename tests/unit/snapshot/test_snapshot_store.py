"""The folders of snapshots: only what is whole is listed, only what was kept is taken for it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from sandbox.errors import SandboxError, UsageError
from sandbox.snapshot.snapshot_store import MANIFEST, Manifest, Node, Store, part
from tests.support import snapshots

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "snapshots")


def keep(store: Store, name: str, *, after: int = 0, sandbox: str = "demo") -> Manifest:
    with store.begun(sandbox, name) as folder:
        (folder / "data.tar").write_bytes(b"data")
        values: dict[str, object] = {"snapshot": name, "sandbox": sandbox, "made": NOW + timedelta(hours=after)}
        values["parts"] = (part(folder / "data.tar"),)
        manifest = snapshots.manifest().model_copy(update=values)
        (folder / MANIFEST).write_text(manifest.model_dump_json())
    return manifest


def test_snapshots_are_listed_newest_first_and_found_by_name(store: Store) -> None:
    assert store.listed() == ()
    late, early = keep(store, "late", after=2), keep(store, "early")
    other = keep(store, "only", sandbox="other")
    assert [one.manifest for one in store.listed()] == [early, late, other]
    assert (store.find("demo", None), store.find("demo", "early")) == (late, early)
    assert late.bytes == 4
    assert {path.stat().st_mode & 0o777 for path in (store.folder / "demo", store.place("demo", "late"))} == {0o700}


def test_images_of_a_snapshot_that_cannot_be_read_are_unknown(store: Store) -> None:
    assert store.images() == set()
    node = Node(name="n", image="sha256:1", config={}, host={}, files="n.tar", volumes={})
    path = store.place("demo", "one") / MANIFEST
    path.parent.mkdir(parents=True)
    path.write_text(keep(store, "two").model_copy(update={"nodes": (node,), "snapshot": "one"}).model_dump_json())
    assert store.images() == {"sha256:1"}
    path.write_text('{"format": 2}')
    with pytest.raises(SandboxError, match="is not the manifest of a snapshot"):
        store.images()
    assert [one.snapshot for one in store.listed() if one.manifest] == ["two"]


def test_killed_save_is_not_listed_and_removed_by_the_next(store: Store) -> None:
    left = store.folder / "demo" / ".unfinished"
    left.mkdir(parents=True)
    (left / MANIFEST).write_text("{}")
    assert store.listed() == ()
    with pytest.raises(ZeroDivisionError), store.begun("demo", "torn") as folder:
        (folder / "data.tar").write_bytes(b"da")
        raise ZeroDivisionError
    assert store.listed() == () and not (store.folder / "demo").exists()
    keep(store, "whole")
    assert [path.name for path in (store.folder / "demo").iterdir()] == ["whole"]


def test_names_are_taken_once_and_are_labels(store: Store) -> None:
    keep(store, "one")
    with pytest.raises(UsageError, match="already"), store.begun("demo", "one"):
        raise AssertionError("was begun")
    for name in ("../up", ".hidden", "Big", "a" * 64, "a b", ""):
        with pytest.raises(UsageError, match="cannot name"):
            store.place("demo", name)


def test_missing_snapshot_is_an_error_naming_existing_ones(store: Store) -> None:
    with pytest.raises(UsageError, match="there is no snapshot of sandbox 'demo'") as caught:
        store.find("demo", None)
    assert caught.value.fix == "sandbox snapshot save"
    keep(store, "one")
    with pytest.raises(UsageError, match="no snapshot 'two'") as caught:
        store.find("demo", "two")
    assert caught.value.details == "known: one"


@pytest.mark.parametrize("content", [None, b"", b'{"format": 2}', b"\xff"])
def test_a_damaged_snapshot_can_be_deleted(store: Store, content: bytes | None) -> None:
    keep(store, "one")
    path = store.place("demo", "one") / MANIFEST
    path.unlink() if content is None else path.write_bytes(content)
    with pytest.raises(SandboxError) as caught:
        store.find("demo", "one")
    assert caught.value.fix.endswith("sandbox snapshot delete one -n demo")
    store.delete("demo", "one")
    assert store.listed() == () and not (store.folder / "demo").exists()
    with pytest.raises(UsageError):
        store.delete("demo", "one")
