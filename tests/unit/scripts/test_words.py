"""The word list finds words as a whole, names another, and leaves names alone that others chose."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

FOUND = runpy.run_path(str(Path(__file__).parents[3] / "scripts/words"), run_name="words")["found"]


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
    ((number, found, instead),) = FOUND(f"first line\n{text}\n")
    assert (number, found) == (2, word) and instead
    assert FOUND("newcomer, amend, recommended, besides, find nobody.example, of oursel") == []
