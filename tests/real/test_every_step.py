"""A real sandbox that comes up with every step broken on the way: killed, failed, interrupted; and then all is well."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import cycle
from pathlib import Path

import pytest

from sandbox.engine import Engine
from tests.real import machine
from tests.real.crashing import STATUS, Broken

pytestmark = [pytest.mark.real, pytest.mark.nightly]

MOMENTS = ("before", "during", "after", "during=2", "during=4")


@pytest.fixture
def broken(tmp_path: Path) -> Iterator[Broken]:
    made = Broken.new("everystep", tmp_path)
    yield made
    made.command("down", "--purge", "--yes", status=None)


@pytest.fixture(scope="module")
def engine() -> Engine:
    return machine.engine()


@pytest.mark.fault(5, 7, 8, 16, 65)
@pytest.mark.timeout(2400)
def test_kill_in_any_step_is_finished_by_up_and_leaves_nothing(broken: Broken, engine: Engine) -> None:
    """Killed, failed, without disk or told to end in each step of one `up` → the last one finishes, `down` leaves none.

    Each step is broken in a second way too, in which others are: by an error or a signal, all of them in turn.
    """
    ways = cycle(way for way in STATUS if way != "kill")
    moments = cycle(MOMENTS)
    way = next(ways)
    reached, began, ended_by = set[str](), set[str](), set[str]()
    for count, (name, title) in enumerate(broken.steps().items(), start=1):
        for action in (way, "kill"):
            point = f"{name}:{next(moments)}:{action}"
            ended = broken.run("up", "--progress", "json", failpoint=point, steps=count)
            assert ended.status in (0, STATUS[action]), f"{point}: {ended}"
            assert "Traceback" not in ended.said, f"{point}: {ended}"
            began |= ended.told("began")
            if ended.status == STATUS[action]:
                reached.add(title)
                ended_by.add(action)
                way = next(ways) if action == way else way
    assert reached >= began, "every step that does anything was broken"
    assert ended_by == STATUS.keys()
    broken.command("up")
    assert broken.app.page() == "first"
    again = broken.run("up", "--progress", "json")
    assert again.status == 0 and not again.told("began"), again
    broken.command("down", "--purge")
    assert broken.left(engine) == set()
