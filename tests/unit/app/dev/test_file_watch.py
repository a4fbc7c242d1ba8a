"""Files as they change on this machine, in bursts."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from sandbox.app.dev.file_watch import FileWatch
from sandbox.errors import SandboxError


@pytest.fixture
def watch() -> Iterator[FileWatch]:
    made = FileWatch()
    yield made
    made.end()


def test_a_file_that_an_editor_replaces_is_seen_every_time(watch: FileWatch, tmp_path: Path) -> None:
    file = tmp_path / "sandbox.yaml"
    file.write_text("1", encoding="utf-8")
    watch.begin([file])
    for text in ("2", "3"):
        (tmp_path / "new").write_text(text, encoding="utf-8")
        (tmp_path / "new").replace(file)
        assert file in _seen(watch, file)


@pytest.mark.parametrize("polling", [False, True])
def test_a_folder_that_comes_back_is_watched_again(tmp_path: Path, polling: bool) -> None:
    """`git checkout` of a branch without the folder, and back."""
    watch, root = FileWatch(polling=polling), tmp_path / "services/api"
    root.mkdir(parents=True)
    watch.begin([root])
    try:
        for gone in (root, root.parent):
            shutil.rmtree(gone)
            assert root in _seen(watch, root)
            root.mkdir(parents=True)
            assert root in _seen(watch, root)
            (root / "a").write_text("x", encoding="utf-8")
            assert root / "a" in _seen(watch, root / "a")
    finally:
        watch.end()


def test_folder_that_is_moved_here_comes_with_its_content(watch: FileWatch, tmp_path: Path) -> None:
    root, elsewhere = tmp_path / "app", tmp_path / "elsewhere"
    (elsewhere / "deep").mkdir(parents=True)
    (elsewhere / "deep/a").touch()
    (elsewhere / "link").symlink_to("/")
    root.mkdir()
    watch.begin([root])
    elsewhere.rename(root / "new")
    assert _seen(watch, root / "new/deep/a") == {root / "new" / one for one in ("", "deep", "deep/a", "link")}


def test_file_that_a_link_leads_to_is_reported_by_its_own_name(watch: FileWatch, tmp_path: Path) -> None:
    """Events have the name that was watched last; a rule or .dockerignore has the real one, a root its own."""
    root, linked = tmp_path / "app", tmp_path / "app/k8s"
    (root / "m/deep").mkdir(parents=True)
    for link in ("a", "z"):
        (root / link).symlink_to("m")
    linked.symlink_to("m/deep")
    watch.begin([root, linked])
    for name in ("m/b", "m/deep/c"):
        (root / name).touch()
    assert _seen(watch, root / "m/b", linked / "c") == {root / "m/b", root / "m/deep/c", linked / "c"}


def test_name_that_is_not_text_does_not_end_the_watch(watch: FileWatch, tmp_path: Path) -> None:
    """Its root counts as changed, for nothing more is told, and later files are told as ever."""
    root, file = tmp_path / "app", tmp_path / "sandbox.yaml"
    root.mkdir()
    file.touch()
    watch.begin([root, file])
    (root / "\udcff").touch()
    assert root in _seen(watch, root)
    (root / "a").touch()
    assert root / "a" in _seen(watch, root / "a")


def _seen(watch: FileWatch, *paths: Path) -> frozenset[Path]:
    """Return what was seen until it includes the paths, for at most ten seconds."""
    seen: frozenset[Path] = frozenset()
    for _ in range(10):
        burst = watch.take(seconds=1)
        seen |= burst.paths if burst else frozenset()
        if seen.issuperset(paths):
            break
    return seen


def test_unwatchable_folder_is_reported_with_the_limits(
    watch: FileWatch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError("OS file watch limit reached")

    monkeypatch.setattr("watchfiles._rust_notify.RustNotify", refuse)
    with pytest.raises(SandboxError) as failed:
        watch.begin([tmp_path])
    assert "max_user_watches" in failed.value.fix
