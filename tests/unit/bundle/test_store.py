"""The store: a component is there whole or not at all."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from sandbox.bundle.recipe import recipes
from sandbox.bundle.store import Store
from sandbox.bundle.system_images import IN_ENGINE, UPSTREAM, choose
from sandbox.errors import SandboxError

BUSYBOX = recipes()["busybox"]
ALL: Callable[[str], bool] = lambda reference: True  # noqa: E731
NONE: Callable[[str], bool] = lambda reference: False  # noqa: E731


def fill(store: Store, *names: str) -> Store:
    for name in names:
        with store.filling(recipes()[name]) as folder:
            (folder / "image.tar").touch()
            (folder / "bin").mkdir()
    return store


def test_a_component_takes_its_name_when_it_is_finished(tmp_path: Path) -> None:
    store = Store(tmp_path)
    with store.filling(BUSYBOX) as folder:
        (folder / "image.tar").write_text("x")
        assert not store.has(BUSYBOX)
    assert store.has(BUSYBOX)
    assert store.image(BUSYBOX).read_text() == "x"
    assert [one.name for one in tmp_path.iterdir()] == [f"busybox-{BUSYBOX.digest}"]


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


def test_a_component_that_lacks_a_part_is_not_there(tmp_path: Path) -> None:
    store, kubernetes = Store(tmp_path), recipes()["kubernetes"]
    with store.filling(kubernetes) as folder:
        (folder / "bin").mkdir()
    assert not store.has(kubernetes)
    (store.folder(kubernetes) / "image.tar").touch()
    assert store.has(kubernetes)


def test_failed_build_keeps_previous_and_finished_replaces_it(tmp_path: Path) -> None:
    store = Store(tmp_path)
    older = tmp_path / ("busybox-" + "0" * 12)
    other = tmp_path / ("busybox-extra-" + "0" * 12)
    for folder in (older, other):
        folder.mkdir()
    with pytest.raises(RuntimeError), store.filling(BUSYBOX):
        raise RuntimeError
    assert older.exists()
    fill(store, "busybox")
    assert not older.exists()
    assert other.exists()


@pytest.mark.parametrize(
    ("wanted", "engine", "built", "source"),
    [
        ("auto", ALL, (), "bundle"),
        ("auto", NONE, IN_ENGINE, "bundle"),
        ("auto", NONE, IN_ENGINE[1:], "upstream"),
        ("auto", NONE, (), "upstream"),
        ("bundle", ALL, (), "bundle"),
        ("bundle", NONE, IN_ENGINE, "bundle"),
        ("bundle", lambda reference: "/node:" in reference, IN_ENGINE[1:], "bundle"),
        ("upstream", ALL, IN_ENGINE, "upstream"),
    ],
)
def test_where_images_come_from(
    tmp_path: Path, wanted: str, engine: Callable[[str], bool], built: tuple[str, ...], source: str
) -> None:
    own = choose(wanted, engine, fill(Store(tmp_path), *built))  # type: ignore[arg-type]
    assert own.source == source
    assert own.references.keys() == UPSTREAM.keys()
    assert all(reference.startswith("sandbox.dev/") == (source == "bundle") for reference in own.references.values())
    assert own.kubernetes.startswith("v1.")
    assert own.kubernetes in own.references["node"]


def test_requested_bundle_not_built_is_an_error_with_a_fix(tmp_path: Path) -> None:
    with pytest.raises(SandboxError) as caught:
        choose("bundle", NONE, fill(Store(tmp_path), *IN_ENGINE[1:]))
    assert caught.value.fix == "sandbox bundle build"


@pytest.mark.fault(46)
def test_pattern_in_a_name_matches_only_itself(tmp_path: Path) -> None:
    """A folder whose name is a glob pattern is placed → other folders that the pattern matches stay."""
    victim, partial = tmp_path / "work-0123456789ab", tmp_path / "partial"
    victim.mkdir()
    partial.mkdir()
    Store(tmp_path).place(partial, tmp_path / "*-ffffffffffff")
    assert victim.exists()
