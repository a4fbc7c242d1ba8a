"""Models are plain values: they can be made, copied and written without pydantic, which checks what is read."""

from __future__ import annotations

import json
from dataclasses import FrozenInstanceError, dataclass
from enum import Enum
from pathlib import Path
from typing import Annotated, Literal

import pytest
from pydantic import ValidationError

from sandbox.config.model import LENIENT, Checked, Kinds, Limits, Model, Prepared, adapter, key


class Size(Enum):
    SMALL = "small"


def even(value: int) -> int:
    if value % 2:
        raise ValueError("must be even")
    return value


def doubled(value: object) -> object:
    return {"count": 4} if value == "two twos" else value


@dataclass(frozen=True, kw_only=True)
class Inner(Model):
    """A part."""

    count: Annotated[int, Limits(ge=2), Checked(even, {"multipleOf": 2})] = key(default=2, description="How many.")


@dataclass(frozen=True, kw_only=True)
class Outer(Model):
    """A whole."""

    kind: Literal["a", "b"] = key(description="Its kind.", alias="is")
    inner: Annotated[Inner, Prepared(doubled, written=str | Inner)] = key(default=Inner(), description="Its part.")
    places: tuple[Path, ...] = ()
    sizes: dict[str, Size] = key(default={}, description="Its sizes.")
    other: Annotated[Inner | str, Kinds(lambda value: type(value).__name__, str=str, dict=Inner)] = "none"


@dataclass(frozen=True, kw_only=True)
class Loose(Model):
    __pydantic_config__ = LENIENT

    count: int = 0


def test_document_is_read_with_its_types_and_written_again() -> None:
    data = {"is": "a", "inner": "two twos", "places": ["x"], "sizes": {"one": "small"}, "other": {"count": 6}}
    read = Outer.model_validate_json(json.dumps(data))
    inner = Inner(count=4)
    wanted = Outer(kind="a", inner=inner, places=(Path("x"),), sizes={"one": Size.SMALL}, other=Inner(count=6))
    assert read == wanted
    assert read.model_dump(mode="json", by_alias=True) == data | {"inner": {"count": 4}}
    assert json.loads(read.model_dump_json()) == read.model_dump(mode="json")
    assert Outer.model_validate(read.model_dump(by_alias=True)) == read


def test_dump_leaves_out_what_is_asked() -> None:
    read = Outer(kind="a", inner=Inner())
    assert read.model_dump(exclude_defaults=True) == {"kind": "a"}
    assert read.model_dump(include={"inner"}) == {"inner": {"count": 2}}
    assert read.given == {"kind": "a"}


@pytest.mark.parametrize(
    ("data", "where"),
    [
        ({}, ("is",)),
        ({"is": "c"}, ("is",)),
        ({"is": "a", "more": 1}, ("more",)),
        ({"is": "a", "inner": {"count": 3}}, ("inner", "count")),
        ({"is": "a", "inner": {"count": 0}}, ("inner", "count")),
        ({"is": "a", "inner": {"count": "4"}}, ("inner", "count")),
        ({"is": "a", "other": {"count": 5}}, ("other", "dict", "count")),
    ],
)
def test_wrong_value_is_an_error_at_its_place(data: dict[str, object], where: tuple[str, ...]) -> None:
    with pytest.raises(ValidationError) as caught:
        Outer.model_validate(data)
    assert [error["loc"] for error in caught.value.errors()] == [where]


def test_model_can_take_values_of_other_types() -> None:
    assert Loose.model_validate({"count": "4"}) == Loose(count=4)


def test_model_is_frozen_and_copied_with_other_values() -> None:
    one = Outer(kind="a")
    with pytest.raises(FrozenInstanceError):
        one.kind = "b"  # type: ignore[misc]
    assert (one.model_copy(update={"kind": "b"}).kind, one.kind) == ("b", "a")
    assert Outer(kind="a").sizes is not one.sizes


def test_schema_has_what_editors_need() -> None:
    found = adapter(Outer).json_schema()
    assert found["required"] == ["is"] and found["additionalProperties"] is False
    assert found["$defs"]["Inner"]["properties"]["count"] == {
        "default": 2,
        "description": "How many.",
        "minimum": 2,
        "multipleOf": 2,
        "title": "Count",
        "type": "integer",
    }
    assert found["properties"]["sizes"]["default"] == {}
    assert {"type": "string"} in found["properties"]["inner"]["anyOf"]
