"""Building the bundle, with recipes whose building is a word in a file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from sandbox.bundle.builder import component_build as module
from sandbox.bundle.builder import image_archive
from sandbox.bundle.builder.component_build import RETRY, BuildFailed, build
from sandbox.bundle.recipe import DebianTree, Image, Recipe
from sandbox.bundle.store import Store
from sandbox.errors import MissingTool, SandboxError, UsageError
from sandbox.system import process
from tests.support.fakes import RecordingReporter

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
    with pytest.raises(UsageError, match="no component 'none'"):
        build(store, RecordingReporter(), only=["none"])
    assert module.outlook(store, ["image"]) == "building tool, image: about 3 min on two cores"
    build(store, RecordingReporter(), only=["tool"])
    assert module.outlook(store) == "building image, top, other: about 5 min on two cores"
    build(store, RecordingReporter())
    assert module.outlook(store) == ""


def raising(error: BaseException) -> Builder:
    def cook(recipe: Recipe, folder: Path) -> None:
        raise error

    return cook


@pytest.mark.parametrize(
    ("error", "details"),
    [
        (process.ToolFailed("sh failed", details="its last words"), "its last words"),
        (OSError(28, "No space left on device"), "No space left on device"),
    ],
)
def test_failed_build_names_next_command_keeps_finished_parts(
    kitchen: Kitchen, tmp_path: Path, error: Exception, details: str
) -> None:
    store, reporter = Store(tmp_path), RecordingReporter()
    kitchen.cook["image"] = raising(error)
    with pytest.raises(BuildFailed, match="building image failed") as caught:
        build(store, reporter)
    assert details in caught.value.details and caught.value.fix == RETRY
    assert reporter.of("failed") == ["image"]
    assert store.has(kitchen.recipes["tool"]) and not store.has(kitchen.recipes["image"])
    del kitchen.cook["image"]
    build(store, RecordingReporter())
    assert kitchen.cooked.count("tool") == 1 and store.has(kitchen.recipes["top"])


@pytest.mark.parametrize("error", [SandboxError("there is no Go"), KeyboardInterrupt()])
def test_error_before_a_tool_runs_ends_the_build(kitchen: Kitchen, tmp_path: Path, error: BaseException) -> None:
    kitchen.cook["tool"] = raising(error)
    with pytest.raises(type(error)):
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
