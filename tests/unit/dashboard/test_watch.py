"""What the page shows is renewed while it is asked for."""

from __future__ import annotations

import itertools
import os
import threading
import time
from collections.abc import Callable

import pytest

from sandbox.dashboard import watch
from sandbox.dashboard.watch import Live


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_state_is_renewed_while_watched() -> None:
    counter = itertools.count()
    watched = Live({"count": (lambda: next(counter), 0.01)})
    watched.start()
    until(lambda: watched.newest().get("count", 0) > 1)
    watched.stop()


def test_a_slow_part_is_not_waited_for_and_a_failed_one_says_why() -> None:
    hold = threading.Event()
    watched = Live(
        {
            "slow": (hold.wait, 1),
            "bad": (lambda: os.environ["NONE_SUCH"], 1),
            "good": (lambda: 1, 1),
        }
    )
    watched.start()
    until(lambda: watched.newest().keys() >= {"bad", "good"})
    assert watched.newest() == {"bad": {"error": "'NONE_SUCH'"}, "good": 1}
    hold.set()
    watched.stop()


def test_state_is_not_polled_without_watchers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "WATCHED", 0.0)
    counter = itertools.count()
    watched = Live({"count": (lambda: next(counter), 0.01)})
    watched.start()
    time.sleep(0.1)
    watched.stop()
    assert next(counter) == 0
