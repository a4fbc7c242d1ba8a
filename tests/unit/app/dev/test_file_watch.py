"""Files as they change on this machine, in bursts."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from sandbox.app.dev.file_watch import FileWatch, sorted_roots
from sandbox.errors import SandboxError


@pytest.fixture
def watch() -> Iterator[FileWatch]:
    made = FileWatch()
    yield made
    made.end()


def test_files_that_are_saved_together_come_together(watch: FileWatch, tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    watch.begin([tmp_path])
    for name in ("a", "deep/b"):
        (tmp_path / name).write_text("x", encoding="utf-8")
    burst = watch.take(seconds=10)
    assert burst is not None
    assert {tmp_path / "a", tmp_path / "deep/b"} <= burst.paths


def test_a_file_that_an_editor_replaces_is_seen_every_time(watch: FileWatch, tmp_path: Path) -> None:
    file = tmp_path / "sandbox.yaml"
    file.write_text("1", encoding="utf-8")
    watch.begin([file])
    for text in ("2", "3"):
        (tmp_path / "new").write_text(text, encoding="utf-8")
        (tmp_path / "new").replace(file)
        burst = watch.take(seconds=10)
        assert burst is not None
        assert file in burst.paths


def test_nothing_comes_when_nothing_changes(watch: FileWatch, tmp_path: Path) -> None:
    watch.begin([tmp_path])
    assert watch.take(seconds=0.1) is None
    assert watch.changed == frozenset()


def test_other_folders_are_watched_in_place_of_those_before(watch: FileWatch, tmp_path: Path) -> None:
    first, second = tmp_path / "1", tmp_path / "2"
    first.mkdir()
    second.mkdir()
    watch.begin([first])
    watch.begin([second])
    (second / "a").write_text("x", encoding="utf-8")
    burst = watch.take(seconds=10)
    assert burst is not None
    assert burst.paths == {second / "a"}


def test_a_folder_is_watched_once_and_a_file_by_its_folder(tmp_path: Path) -> None:
    (tmp_path / "app/src").mkdir(parents=True)
    (tmp_path / "app/Dockerfile").touch()
    (tmp_path / "sandbox.yaml").touch()
    roots = [tmp_path / "app/src", tmp_path / "app", tmp_path / "app/Dockerfile", tmp_path / "sandbox.yaml"]
    assert sorted_roots(roots) == ([tmp_path / "app"], [tmp_path])


def test_unwatchable_folder_is_reported_with_the_limits(
    watch: FileWatch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError("OS file watch limit reached")

    monkeypatch.setattr("watchfiles._rust_notify.RustNotify", refuse)
    with pytest.raises(SandboxError) as failed:
        watch.begin([tmp_path])
    assert "max_user_watches" in failed.value.fix
