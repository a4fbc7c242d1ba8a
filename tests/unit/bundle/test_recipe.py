"""Recipes: they are whole, in order, and named by what they are made of."""

from __future__ import annotations

import re
import runpy
import shutil
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import pytest

from sandbox.bundle import recipe as module
from sandbox.bundle.recipe import RECIPES, SUMS, Recipe, recipes, sum_lines

SCRIPT = Path(__file__).parents[3] / "scripts" / "sums"


@pytest.fixture
def copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The recipes' folder, to be changed at will."""
    folder = tmp_path / "recipes"
    shutil.copytree(RECIPES, folder)
    monkeypatch.setattr(module, "RECIPES", folder)
    yield folder
    recipes.cache_clear()


def digests() -> dict[str, str]:
    recipes.cache_clear()
    return {name: recipe.digest for name, recipe in recipes().items()}


def test_recipe_builds_one_kind_of_component_after_its_needs() -> None:
    names = list(recipes())
    assert f"registry.k8s.io/etcd:{recipes()['etcd'].version}-0" in asdict(recipes()["etcd"])["image"]["names"]
    for name, recipe in recipes().items():
        assert all(names.index(needed) < names.index(name) for needed in recipe.needs), name
        assert "{" not in "".join(recipe.image.names if recipe.image else ())
        assert (recipe.go or recipe.debian or recipe.image or recipe.node) is not None, recipe.name
        assert re.fullmatch(r"sandbox\.dev/[a-z-]+:v?[\d.]+-[0-9a-f]{12}", recipe.reference)


def has_modules(recipe: Recipe) -> bool:
    # The programs of this project need Go's standard library only.
    return recipe.go_mod.exists() and "require" in recipe.go_mod.read_text()


@pytest.mark.parametrize(
    "recipe", [one for one in recipes().values() if one.go and has_modules(one)], ids=lambda one: one.name
)
def test_go_mod_asks_for_the_version_that_the_recipe_names(recipe: Recipe) -> None:
    text = recipe.go_mod.read_text()
    versions = set(re.findall(r"\sv?(\d\S+)", text))
    assert recipe.version.removeprefix("v") in versions
    assert recipe.go_sum


def test_digest_depends_on_content_mode_and_names_of_files(copy: Path) -> None:
    seen = [digests()]
    file = copy / "registry" / "config.yml"
    file.write_text(file.read_text() + "#\n")
    seen.append(digests())
    file.chmod(0o755)
    seen.append(digests())
    file.rename(file.with_name("other.yml"))
    seen.append(digests())
    assert len({each.pop("registry") for each in seen}) == 4
    assert all(each == seen[0] for each in seen)


def test_digest_depends_on_indirect_needs(copy: Path) -> None:
    before = digests()
    file = copy / "bookworm" / "recipe.yaml"
    file.write_text(file.read_text() + "# changed\n")
    after = digests()
    changed = {name for name in before if before[name] != after[name]}

    def reaches(name: str) -> bool:
        return name == "bookworm" or any(reaches(needed) for needed in recipes()[name].needs)

    assert changed == {name for name in before if reaches(name)}
    assert {"bookworm", "busybox", "node"} <= changed


def test_default_version_does_not_count_for_another_one(copy: Path) -> None:
    before, file = digests(), copy / "kubernetes" / "recipe.yaml"
    file.write_text(file.read_text().replace(f"version: {recipes()['kubernetes'].version}", "version: v1.36.99"))
    after = digests()
    assert {name for name in before if before[name] != after[name]} == {"kubernetes", "node"}
    mod = copy / "kubernetes-1.35" / "go.mod"
    mod.write_text(mod.read_text() + "// changed\n")
    assert {name for name, one in digests().items() if after[name] != one} == {"kubernetes-1.35", "node-1.35"}


def test_recipes_built_of_modules_are_the_listed_ones() -> None:
    named = {name for names in sum_lines(RECIPES / SUMS).values() for name in names}
    assert named == {name for name, one in recipes().items() if has_modules(one)}
    assert not list(RECIPES.glob("*/go.sum"))  # put back by scripts/sums
    lines = list(sum_lines(RECIPES / SUMS))
    assert lines == sorted(lines, key=runpy.run_path(str(SCRIPT), run_name="sums")["order"])
