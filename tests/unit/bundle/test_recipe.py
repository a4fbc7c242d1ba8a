"""Recipes: they are whole, in order, and named by what they are made of."""

from __future__ import annotations

import re
import runpy
import shutil
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import pytest
from pydantic import TypeAdapter

from sandbox.bundle import recipe as module
from sandbox.bundle.recipe import RECIPES, SUMS, Recipe, recipes, sum_lines, versions
from sandbox.bundle.system_images import IN_ENGINE, UPSTREAM

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


@pytest.mark.parametrize("value", [*recipes().values(), versions()], ids=lambda one: getattr(one, "name", "versions"))
def test_values_have_the_types_of_their_fields(value: Recipe | module.Versions) -> None:
    TypeAdapter(type(value)).validate_python(asdict(value))


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


def test_files_and_programs_that_images_take_exist() -> None:
    for recipe in recipes().values():
        if recipe.image:
            assert all((recipe.folder / file).is_file() for file in recipe.image.files.values()), recipe.name
            programs = recipe.go.programs if recipe.go else ()
            assert set(recipe.image.programs.values()) <= set(programs), recipe.name
            assert recipe.image.tree is None or recipe.image.tree in recipe.needs, recipe.name
        if recipe.go:
            assert all((recipe.folder / new).is_file() for new in recipe.go.replace.values() if new), recipe.name


def test_every_image_a_sandbox_needs_is_in_the_bundle() -> None:
    assert set(IN_ENGINE) <= set(UPSTREAM) <= set(recipes())
    assert all(recipes()[name].image or recipes()[name].node for name in UPSTREAM)


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


def test_another_kubernetes_differs_in_its_version_only() -> None:
    known = recipes()
    ours, older = known["kubernetes"], known["kubernetes-1.35"]
    assert older.go and ours.go and older.image and older.folder == ours.folder and older.go_sum != ours.go_sum
    assert older.image.names[0] == f"registry.k8s.io/kube-apiserver:{older.version}"
    assert older.go.variables["k8s.io/component-base/version.gitVersion"] == older.version
    assert older.go.variables["k8s.io/component-base/version.gitMinor"] == "35"
    assert [one.removesuffix("-1.35") for one in known["node-1.35"].needs] == list(known["node"].needs)
    assert len({one.digest for one in known.values() if one.node}) == len(versions().bundle) + 1


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
