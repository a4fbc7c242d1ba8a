"""Placeholders are filled in texts and nowhere else."""

from __future__ import annotations

from sandbox.components.addons.addon_objects import fill, used


def test_known_placeholders_are_filled_in_every_text() -> None:
    before = {"a": ["${x}", "x=${x}.${y}"], "b": {"${x}": 1, "c": None}, "d": True}
    assert fill(before, {"x": "1"}) == {"a": ["1", "x=1.${y}"], "b": {"${x}": 1, "c": None}, "d": True}
    assert used(before) == {"x", "y"}


def test_values_stay_text_and_shell_variables_stay() -> None:
    assert fill({"a": "${x}"}, {"x": "b: {c: ${x}}\n- d"}) == {"a": "b: {c: ${x}}\n- d"}
    script = "echo $x $$ ${HOME} ${x:-1} ${#x}"
    assert fill(script, {"x": "1", "home": "2"}) == script
