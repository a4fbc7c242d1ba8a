"""What frozen dataclasses do here, they do in the standard library."""

from __future__ import annotations

import copy
import dataclasses
import pickle
from collections.abc import Callable
from dataclasses import FrozenInstanceError, field, replace
from functools import cached_property
from typing import Any

import pytest

from sandbox import fast_dataclass

DECORATORS: dict[str, Callable[..., Any]] = {"ours": fast_dataclass.dataclass, "library": dataclasses.dataclass}


def point(dataclass: Callable[..., Any], **options: bool) -> Any:
    """Return a class of many kinds of fields."""

    class Point:
        x: int
        y: int = 0
        tags: tuple[str, ...] = field(default_factory=tuple)
        note: str = field(default="", compare=False)
        secret: str = field(default="", repr=False)

        @cached_property
        def sum(self) -> int:
            return self.x + self.y

    Point.__qualname__ = "Point"
    return dataclass(Point, frozen=True, **options)


@pytest.fixture(params=DECORATORS)
def decorator(request: pytest.FixtureRequest) -> Callable[..., Any]:
    """Yield one decorator and then the other."""
    return DECORATORS[request.param]


@fast_dataclass.dataclass(frozen=True)
class Kept:
    """One that a pickle can name."""

    value: int
    more: tuple[int, ...] = ()


def test_values_of_equal_fields_are_equal_with_equal_hashes(decorator: Callable[..., Any]) -> None:
    point_class = point(decorator)
    one, same, other = point_class(1, 2, note="a"), point_class(1, 2, note="b"), point_class(2, 1)
    assert one == same
    assert hash(one) == hash(same)
    assert one != other
    assert one != (1, 2, (), "a", "")
    assert {one: "found"}[same] == "found"


def test_values_of_another_class_are_never_equal(decorator: Callable[..., Any]) -> None:
    assert point(decorator)(1) != point(decorator)(1)


def test_fields_cannot_be_set_added_or_deleted(decorator: Callable[..., Any]) -> None:
    one = point(decorator)(1)
    for name in ("x", "y", "z"):
        with pytest.raises(FrozenInstanceError):
            setattr(one, name, 2)
    with pytest.raises(FrozenInstanceError):
        delattr(one, "x")
    assert (one.x, one.y) == (1, 0)


def test_repr_shows_all_fields_but_the_hidden(decorator: Callable[..., Any]) -> None:
    assert repr(point(decorator)(1, tags=("a",), secret="no")) == "Point(x=1, y=0, tags=('a',), note='')"


def test_values_are_copied_with_changes_and_as_mappings(decorator: Callable[..., Any]) -> None:
    one = point(decorator)(1, 2)
    assert replace(one, y=3) == point_of(one, 1, 3)
    assert copy.deepcopy(one) == one == copy.copy(one)
    assert dataclasses.asdict(one) == {"x": 1, "y": 2, "tags": (), "note": "", "secret": ""}
    assert [one.sum, one.sum] == [3, 3]


def point_of(one: Any, *arguments: int) -> Any:
    """Return another of its class."""
    return type(one)(*arguments)


def test_arguments_are_asked_for_by_name_where_told(decorator: Callable[..., Any]) -> None:
    by_name = point(decorator, kw_only=True)
    assert by_name(x=1).x == 1
    with pytest.raises(TypeError):
        by_name(1)


def test_methods_of_the_class_itself_are_kept(decorator: Callable[..., Any]) -> None:
    class Loud:
        x: int

        def __repr__(self) -> str:
            return "loud"

        def __eq__(self, other: object) -> bool:
            return True

        def __hash__(self) -> int:
            return 7

    Loud.__annotations__ = {"x": int}
    one = decorator(Loud, frozen=True)(1)
    assert (repr(one), one == 3, hash(one)) == ("loud", True, 7)


def test_a_subclass_adds_fields_and_stays_frozen(decorator: Callable[..., Any]) -> None:
    base = point(decorator)
    deeper = decorator(type("Deeper", (base,), {"__annotations__": {"z": int}, "z": 5}), frozen=True)
    one = deeper(1)
    assert (one.x, one.z) == (1, 5)
    assert one != base(1)
    with pytest.raises(FrozenInstanceError):
        one.z = 6


def test_values_survive_a_pickle() -> None:
    assert pickle.loads(pickle.dumps(Kept(1, (2, 3)))) == Kept(1, (2, 3))  # noqa: S301  # its own


def test_wrong_arguments_are_refused(decorator: Callable[..., Any]) -> None:
    made = point(decorator)
    for values, named in (((), {}), ((1, 2, (), "", "", 6), {}), ((1,), {"x": 1}), ((1,), {"z": 1}), ((), {"y": 1})):
        with pytest.raises(TypeError, match="Point"):
            made(*values, **named)


def test_instances_share_no_default_that_is_made(decorator: Callable[..., Any]) -> None:
    class Many:
        found: list[int] = field(default_factory=list)

    Many.__annotations__ = {"found": list[int]}
    made = decorator(Many)
    one = made()
    one.found.append(1)
    assert (one.found, made().found, made([2]).found) == ([1], [], [2])


def test_a_class_that_is_not_frozen_can_be_changed(decorator: Callable[..., Any]) -> None:
    class Open:
        x: int = 0

    Open.__annotations__ = {"x": int}
    one = decorator(Open)()
    one.x = 3
    assert (one.x, one == decorator(Open)(3), one == 3) == (3, True, False)
    with pytest.raises(TypeError):
        hash(one)
