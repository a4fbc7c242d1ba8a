"""Waiting, by a clock that only moves when a user sleeps."""

from __future__ import annotations

import pytest

from sandbox.system import interruption
from sandbox.system.wait import WaitTimeout, wait_until


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_state_is_said_when_new_and_every_ten_seconds(clock: Clock) -> None:
    said: list[tuple[float, str]] = []
    given = iter(["one\nmore", *["two"] * 24, None])

    def say(line: str) -> None:
        said.append((clock.now - 100, line))

    wait_until(lambda: next(given), what="x", timeout=60, pause=0.5, say=say, clock=clock, sleep=clock.sleep)
    assert said == [(0.0, "one"), (0.5, "two"), (10.5, "two")]


def test_a_timeout_names_what_and_the_last_state(clock: Clock) -> None:
    with pytest.raises(WaitTimeout) as caught:
        wait_until(lambda: f"{clock.now:.0f}", what="the API", timeout=5, pause=1, clock=clock, sleep=clock.sleep)
    assert (caught.value.brief, caught.value.details) == ("the API: not ready after 5 s", "105")


@pytest.mark.fault(57)
def test_condition_is_checked_once_more_after_a_long_sleep(clock: Clock) -> None:
    """Time jumps past a deadline → one more look before it is called a timeout."""
    answers = iter(["not yet", None])
    wait_until(lambda: next(answers), what="x", timeout=1, pause=60, clock=clock, sleep=clock.sleep)


def test_an_interruption_ends_the_waiting() -> None:
    interruption.request()
    try:
        with pytest.raises(interruption.Interrupted):
            wait_until(lambda: "never", what="x", timeout=60, pause=60)
        with pytest.raises(interruption.Interrupted):
            interruption.check()
    finally:
        interruption.clear()
    interruption.check()
    interruption.pause(0)
