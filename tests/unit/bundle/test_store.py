"""The store: a component is there whole or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from sandbox.bundle.recipe import recipes
from sandbox.bundle.store import Store

BUSYBOX = recipes()["busybox"]


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_failed_write_leaves_nothing_under_the_final_name(tmp_path: Path, error: type[BaseException]) -> None:
    store = Store(tmp_path)
    with pytest.raises(error), store.filling(BUSYBOX) as folder:
        (folder / "half").touch()
        raise error
    assert not store.has(BUSYBOX)
    with store.filling(BUSYBOX) as folder:
        assert list(folder.iterdir()) == []
        (folder / "image.tar").touch()
    assert store.has(BUSYBOX)


def test_failed_build_keeps_previous_and_finished_replaces_it(tmp_path: Path) -> None:
    store = Store(tmp_path)
    older = tmp_path / ("busybox-" + "0" * 12)
    other = tmp_path / ("busybox-extra-" + "0" * 12)
    for folder in (older, other):
        folder.mkdir()
    with pytest.raises(RuntimeError), store.filling(BUSYBOX):
        raise RuntimeError
    assert older.exists()
    with store.filling(BUSYBOX) as folder:
        (folder / "image.tar").touch()
    assert not older.exists()
    assert other.exists()


@pytest.mark.fault(46)
def test_pattern_in_a_name_matches_only_itself(tmp_path: Path) -> None:
    """A folder whose name is a glob pattern is placed → other folders that the pattern matches stay."""
    victim, partial = tmp_path / "work-0123456789ab", tmp_path / "partial"
    victim.mkdir()
    partial.mkdir()
    Store(tmp_path).place(partial, tmp_path / "*-ffffffffffff")
    assert victim.exists()
