"""Documents are frozen models: read with their types, refused where they are wrong, compared by their values."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import pytest
from pydantic import Field, ValidationError

from sandbox.config.model import Document, matching, short_form


class Part(Document):
    count: int = 2
    word: Annotated[str, *matching("[a-z]+", "must be a word, not '{}'")] = "a"


class Whole(Document):
    name: str = Field(alias="is")
    part: Annotated[Part, short_form("word")] = Part()
    places: tuple[Path, ...] = ()
    sizes: dict[str, int] = {}


def test_document_is_read_with_its_types_and_written_again() -> None:
    data = {"is": "x", "part": "b", "places": ["here"], "sizes": {"one": 1}}
    whole = Whole.model_validate(data)
    assert (whole.name, whole.part, whole.places) == ("x", Part(word="b"), (Path("here"),))
    assert Whole.model_validate(whole.model_dump(by_alias=True)) == whole
    assert json.loads(whole.model_dump_json(by_alias=True)) == data | {"part": {"count": 2, "word": "b"}}


def test_document_with_a_mapping_is_hashable() -> None:
    first, second = (Whole.model_validate({"is": "x", "sizes": {"one": 1}}) for _ in range(2))
    assert {first: 1}[second] == 1


@pytest.mark.parametrize(
    ("data", "place"),
    [
        ({}, ("is",)),
        ({"is": "x", "more": 1}, ("more",)),
        ({"is": "x", "part": {"count": "4"}}, ("part", "count")),
        ({"is": "x", "part": "B"}, ("part", "word")),
    ],
)
def test_wrong_value_is_an_error_at_its_place(data: dict[str, object], place: tuple[str, ...]) -> None:
    with pytest.raises(ValidationError) as caught:
        Whole.model_validate(data)
    assert [error["loc"] for error in caught.value.errors()] == [place]
