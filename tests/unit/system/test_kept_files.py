"""Files that are kept by name: private, few, and never in the way."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from sandbox.system import kept_files
from sandbox.system.kept_files import KeptFiles


def test_data_is_kept_for_this_user_only(tmp_path: Path) -> None:
    kept = KeptFiles(tmp_path / "kept")
    assert kept.read("one") is None
    kept.write("one", b"data")
    assert kept.read("one") == b"data"
    assert [(tmp_path / "kept" / name).stat().st_mode & 0o777 for name in (".", "one")] == [0o700, 0o600]


def test_oldest_make_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept_files, "MOST", 2)
    kept = KeptFiles(tmp_path)
    for age, name in enumerate(("third", "second", "first")):
        kept.write(name, b"")
        os.utime(tmp_path / name, (1000 - age, 1000 - age))
    kept.write("new", b"")
    assert sorted(one.name for one in tmp_path.iterdir()) == ["new", "third"]


@pytest.mark.parametrize("make", [Path.touch, Path.mkdir])
def test_place_that_cannot_be_used_is_passed_over(tmp_path: Path, make: object) -> None:
    assert callable(make)
    folder = tmp_path / "kept"
    if make is Path.touch:
        folder.touch()
    else:
        (folder / "one").mkdir(parents=True)
    kept = KeptFiles(folder)
    kept.write("one", b"data")
    assert kept.read("one") is None
