"""The program that reads the engine's folders is loaded from the bundle, and built first where there is Go."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import pytest

from sandbox.bundle.builder import component_build
from sandbox.bundle.recipe import Recipe, recipes
from sandbox.bundle.store import Store
from sandbox.bundle.system_images import layer_reader
from sandbox.engine import Engine
from sandbox.system import process

READER = recipes()["layer-reader"]


class Loading:
    """An engine that remembers what it was given."""

    def __init__(self) -> None:
        self.loaded: list[Path] = []

    def image_id(self, reference: str) -> str | None:
        return "sha256:1" if self.loaded else None

    def load(self, path: Path) -> None:
        self.loaded.append(path)


def fill(recipe: Recipe, store: Store) -> None:
    with store.filling(recipe) as folder:
        (folder / "bin").mkdir()
        (folder / "image.tar").write_bytes(b"image")


def test_built_reader_is_loaded_once(tmp_path: Path) -> None:
    engine, store = Loading(), Store(tmp_path)
    fill(READER, store)
    assert layer_reader(cast("Engine", engine), store) == READER.reference
    assert layer_reader(cast("Engine", engine), store) == READER.reference
    assert engine.loaded == [store.image(READER)]


def test_reader_is_built_first_where_there_is_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engine, store = Loading(), Store(tmp_path / "bundle")
    monkeypatch.setattr(process, "which", lambda program: Path("/usr/bin/go"))
    monkeypatch.setattr(component_build, "build_one", fill)
    assert layer_reader(cast("Engine", engine), store) == READER.reference
    assert engine.loaded == [store.image(READER)]


def test_there_is_no_reader_without_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = Loading()
    monkeypatch.setattr(process, "which", lambda program: None)
    assert layer_reader(cast("Engine", engine), Store(tmp_path)) is None
    assert engine.loaded == []
