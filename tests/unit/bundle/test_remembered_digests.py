"""Digests of recipes are remembered until one of the recipes' files changes."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from sandbox.bundle import recipe, remembered_digests
from sandbox.bundle.recipe import Recipes

Digest = Callable[[], str]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the recipes, which is what the product reads."""
    folder = tmp_path / "recipes"
    shutil.copytree(recipe.RECIPES, folder)
    monkeypatch.setattr(recipe, "RECIPES", folder)
    monkeypatch.setattr(remembered_digests, "RECIPES", folder)
    return folder


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "digests.json"


@pytest.fixture
def digest(folder: Path, file: Path, monkeypatch: pytest.MonkeyPatch) -> Digest:
    """The digest of the registry's recipe as a new process finds it."""

    def found() -> str:
        fresh = Recipes()
        for module in (recipe, remembered_digests):
            monkeypatch.setattr(module, "recipes", lambda: fresh)
        with remembered_digests.known(file):
            return fresh["registry"].digest

    return found


def test_digest_is_computed_once(digest: Digest, monkeypatch: pytest.MonkeyPatch) -> None:
    first = digest()
    assert first == recipe.Recipes()["registry"].digest
    monkeypatch.setattr(recipe, "go_sum", lambda *_: pytest.fail("a recipe was read"))
    assert digest() == first


def test_digest_of_a_changed_recipe_is_computed_again(digest: Digest, folder: Path) -> None:
    """Its size and mtime stay, as where a package with fixed times is installed over another."""
    first, changed = digest(), folder / "registry" / "recipe.yaml"
    before, text = changed.stat(), changed.read_bytes()
    changed.write_bytes(text[:-1] + b" ")
    os.utime(changed, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert digest() != first


@pytest.mark.parametrize("text", ["", "[]", '{"state": 1}', '{"state": 1, "digests": []}'])
def test_digest_is_computed_where_the_record_is_damaged(digest: Digest, file: Path, text: str) -> None:
    first = digest()
    whole = json.loads(file.read_text())
    file.write_text(text.replace("1", json.dumps(whole["state"])))
    assert digest() == first


def test_digest_is_found_where_nothing_can_be_recorded(digest: Digest, file: Path) -> None:
    file.mkdir()
    assert digest() == recipe.Recipes()["registry"].digest
