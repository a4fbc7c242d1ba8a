"""Building the bundle, with recipes whose building is a word in a file."""

from __future__ import annotations

import shutil
import signal
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from types import SimpleNamespace

import pytest

from sandbox.bundle.architecture import KNOWN, native
from sandbox.bundle.builder import component_build as module
from sandbox.bundle.builder import image_archive
from sandbox.bundle.builder.component_build import RETRY, BuildFailed, build
from sandbox.bundle.recipe import DebianTree, Image, Recipe
from sandbox.bundle.store import Store
from sandbox.errors import MissingTool, SandboxError, UsageError
from sandbox.system import process
from tests.support.fakes import RecordingReporter

PATIENCE = 20.0
Builder = Callable[[Recipe, Path], None]


class Kitchen:
    """Three recipes, tool <- image <- top, and other; `cook` is what building one does."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.cook: dict[str, Builder] = {}
        self.cooked: list[str] = []
        needs = {"tool": (), "image": ("tool",), "top": ("image",), "other": ()}
        made = {name: self.recipe(name, needed) for name, needed in needs.items()}
        monkeypatch.setattr(module, "recipes", lambda: made)
        monkeypatch.setattr(image_archive, "build_image", self.build)
        self.recipes: Mapping[str, Recipe] = made

    def recipe(self, name: str, needs: tuple[str, ...]) -> Recipe:
        recipe = Recipe(name=name, version="1", seconds=100, needs=needs, image=Image())
        recipe.__dict__["digest"] = f"{len(name):012x}"
        return recipe

    def build(self, recipe: Recipe, described: Image, store: Store, folder: Path) -> None:
        assert all(store.has(self.recipes[needed]) for needed in recipe.needs)
        if recipe.name in self.cook:
            self.cook[recipe.name](recipe, folder)
        (folder / "image.tar").write_text(recipe.name)
        self.cooked.append(recipe.name)


@pytest.fixture
def kitchen(monkeypatch: pytest.MonkeyPatch) -> Kitchen:
    return Kitchen(monkeypatch)


def test_each_is_built_after_what_it_needs_and_only_once(kitchen: Kitchen, tmp_path: Path) -> None:
    store, first, second = Store(tmp_path), RecordingReporter(), RecordingReporter()
    build(store, first)
    assert kitchen.cooked == ["tool", "image", "top", "other"]
    assert all(store.image(recipe).read_text() == name for name, recipe in kitchen.recipes.items())
    assert first.events.index(("began", "top")) < first.events.index(("progress", "top"))
    assert first.details["progress", "top"].startswith("about 2 min")
    build(store, second)
    assert second.events == [("unchanged", name) for name in kitchen.recipes]
    assert len(kitchen.cooked) == 4


def test_outlook_tells_what_is_missing_and_for_how_long(kitchen: Kitchen, tmp_path: Path) -> None:
    store = Store(tmp_path)
    assert module.outlook(store, ["image"]) == "building tool, image: about 3 min on two cores"
    build(store, RecordingReporter(), only=["tool"])
    assert module.outlook(store) == "building image, top, other: about 5 min on two cores"
    build(store, RecordingReporter())
    assert module.outlook(store) == ""


def test_debian_packages_are_not_built_for_another_architecture(kitchen: Kitchen, tmp_path: Path) -> None:
    """For another architecture only what is made of Go modules is built, and packages are refused by name."""
    packages = DebianTree(suite="s", refreshed="d", packages=())
    kitchen.recipes["image"].__dict__["debian"] = packages
    store = Store(tmp_path).across(next(one for one in KNOWN.values() if one != native()))
    assert module.native_only() == ("image", "top")
    assert module.outlook(store) == "building tool, other: about 3 min on two cores"
    build(store, RecordingReporter())
    assert sorted(kitchen.cooked) == ["other", "tool"]
    assert not Store(tmp_path).has(kitchen.recipes["tool"])
    with pytest.raises(UsageError, match=r"only be built on a machine of .*: image, top"):
        build(store, RecordingReporter(), only=["top"])


def test_only_what_is_asked_for_is_built_with_what_it_needs(kitchen: Kitchen, tmp_path: Path) -> None:
    build(Store(tmp_path), RecordingReporter(), only=["image"])
    assert kitchen.cooked == ["tool", "image"]
    with pytest.raises(UsageError, match="no component 'none'"):
        build(Store(tmp_path), RecordingReporter(), only=["none"])


def fails(recipe: Recipe, folder: Path) -> None:
    process.run(["sh", "-c", "echo its last words; exit 2"], timeout=PATIENCE)


def full(recipe: Recipe, folder: Path) -> None:
    raise OSError(28, "No space left on device")


@pytest.mark.parametrize(("cook", "said"), [(fails, "its last words"), (full, "No space left on device")])
def test_failed_build_names_next_command_keeps_finished_parts(
    kitchen: Kitchen, tmp_path: Path, cook: Builder, said: str
) -> None:
    store, reporter = Store(tmp_path), RecordingReporter()
    kitchen.cook["image"] = cook
    with pytest.raises(BuildFailed) as caught:
        build(store, reporter)
    assert caught.value.brief == "building image failed"
    assert said in caught.value.details
    assert caught.value.fix == RETRY
    assert reporter.of("failed") == ["image"]
    assert store.has(kitchen.recipes["tool"])
    assert not store.has(kitchen.recipes["image"])
    del kitchen.cook["image"]
    build(store, RecordingReporter())
    assert kitchen.cooked.count("tool") == 1
    assert store.has(kitchen.recipes["top"])


@pytest.mark.parametrize("free", [0, 100_000_000])
def test_failure_on_a_full_disk_tells_of_the_disk(
    kitchen: Kitchen, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, free: int
) -> None:
    kitchen.cook["tool"] = fails
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=free))
    with pytest.raises(BuildFailed) as caught:
        build(Store(tmp_path), RecordingReporter())
    assert caught.value.details.endswith(f"{free / 1e9:.1f} GB are free in {tmp_path}")
    assert caught.value.fix.startswith("free some space") and caught.value.fix.endswith(RETRY)


def test_a_part_that_fails_before_its_tool_runs_is_reported(kitchen: Kitchen, tmp_path: Path) -> None:
    def lacks(recipe: Recipe, folder: Path) -> None:
        raise SandboxError("there is no Go", fix="install it")

    reporter = RecordingReporter()
    kitchen.cook["tool"] = lacks
    with pytest.raises(SandboxError, match="there is no Go"):
        build(Store(tmp_path), reporter, only=["tool"])
    assert reporter.of("failed") == ["tool"]


def test_interrupt_ends_build_tools_at_once(kitchen: Kitchen, tmp_path: Path) -> None:
    main = threading.main_thread().ident
    assert main is not None

    def long(recipe: Recipe, folder: Path) -> None:
        def begun(line: str) -> None:
            signal.pthread_kill(main, signal.SIGINT)

        process.run(["sh", "-c", "echo begun; exec sleep 100"], timeout=PATIENCE * 2, on_line=begun)

    kitchen.cook["tool"] = long
    with pytest.raises(KeyboardInterrupt):
        build(Store(tmp_path), RecordingReporter(), only=["tool"])
    assert not Store(tmp_path).has(kitchen.recipes["tool"])


def test_a_tool_that_is_missing_is_said_before_anything_is_built(
    kitchen: Kitchen, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    described = DebianTree(suite="bookworm", refreshed="2026-11-26", packages=("runc",))
    system = Recipe(name="system", version="1", seconds=100, needs=("top",), debian=described)
    system.__dict__["digest"] = "0" * 12
    monkeypatch.setattr(module, "recipes", lambda: {**kitchen.recipes, "system": system})
    monkeypatch.setattr(process, "which", lambda name, extra: None)
    with pytest.raises(MissingTool, match="debootstrap"):
        build(Store(tmp_path), RecordingReporter())
    assert kitchen.cooked == []
