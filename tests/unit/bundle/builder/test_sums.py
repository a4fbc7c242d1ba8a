"""One file of checksums has every recipe's go.sum as Go writes it, and nothing that is of none."""

from __future__ import annotations

import runpy
from pathlib import Path

from sandbox.bundle.builder import sums
from sandbox.bundle.recipe import RECIPES, recipes

WHOLE = RECIPES / sums.NAME
SCRIPT = Path(__file__).parents[4] / "scripts" / "sums"


def test_each_recipe_has_its_lines_in_their_order(tmp_path: Path) -> None:
    file = tmp_path / sums.NAME
    file.write_text("a,b m v1 h1:x=\na m v1/go.mod h1:y=\nb m v2 h1:z=\n")
    assert sums.go_sum(file, "a") == b"m v1 h1:x=\nm v1/go.mod h1:y=\n"
    assert sums.go_sum(file, "b") == b"m v1 h1:x=\nm v2 h1:z=\n"
    assert sums.go_sum(file, "c") == b""


def test_those_that_are_built_of_modules_are_those_that_are_named() -> None:
    named = {name for names in sums.lines(WHOLE).values() for name in names}
    assert named == {name for name, one in recipes().items() if (one.folder / "go.mod").exists()}
    assert not list(RECIPES.glob("*/go.sum"))  # put back by scripts/sums


def test_the_file_is_in_the_order_of_go() -> None:
    order = runpy.run_path(str(SCRIPT), run_name="sums")["order"]
    lines = list(sums.lines(WHOLE))
    assert lines == sorted(lines, key=order)
