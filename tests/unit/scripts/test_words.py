"""The word list finds words as a whole, names another, and leaves names alone that others chose."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[3] / "scripts/words"
MODULE = runpy.run_path(str(SCRIPT), run_name="words")


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("It is made anew.", "anew"),
        ("Nobody listens there", "Nobody"),
        ("11 objects of yours", "of yours"),
        ("mended: mode 0644", "mended"),
        ("that is not to be had", "not to be had"),
    ],
)
def test_listed_word_is_found_with_its_replacement(text: str, word: str) -> None:
    ((number, found, instead),) = MODULE["found"](f"first line\n{text}\n")
    assert (number, found) == (2, word) and instead
    assert MODULE["found"]("newcomer, amend, recommended, besides, find nobody.example, of oursel") == []


def test_files_left_to_do_are_listed_once_and_sorted() -> None:
    left = MODULE["LEFT"].read_text(encoding="utf-8").splitlines()
    assert left == sorted(set(left))
