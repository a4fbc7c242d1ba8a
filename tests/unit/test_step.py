"""A plan is checked when it is built: what a step requires exists, and comes before it."""

from __future__ import annotations

import pytest

from sandbox.step import Step, checked
from tests.support.fakes import FakeStep


def plan(**steps: tuple[tuple[str, ...], tuple[str, ...]]) -> list[Step]:
    return [FakeStep(name, set(), requires=requires, after=after) for name, (requires, after) in steps.items()]


def test_unknown_requirement_or_repeated_name_is_refused() -> None:
    with pytest.raises(ValueError, match="two steps are called 'a'"):
        checked([*plan(a=((), ())), *plan(a=((), ()))])
    with pytest.raises(ValueError, match=r"'wiring' requires \['clutser'\], which the plan does not have"):
        checked(plan(cluster=((), ()), wiring=(("clutser",), ())))


@pytest.mark.parametrize(("requires", "after"), [(("b",), ()), ((), ("b",)), (("a",), ())])
def test_step_before_what_it_needs_is_refused(requires: tuple[str, ...], after: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="'a' comes before"):
        checked(plan(a=(requires, after), b=((), ())))
