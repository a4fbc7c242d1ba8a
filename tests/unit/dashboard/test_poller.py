"""Looks are renewed while somebody asks, and a failing one keeps nobody else from being seen."""

from __future__ import annotations

import itertools
import os
import threading
import time

import pytest

from sandbox.dashboard import poller
from sandbox.dashboard.poller import Live, Look


def until(condition: object) -> None:
    deadline = time.monotonic() + 10
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_what_is_found_is_renewed() -> None:
    counter = itertools.count()
    watched = Live({"count": Look(lambda: next(counter), 0.01)})
    watched.start()
    first = watched.newest(patience=10)["count"]
    until(lambda: watched.newest(patience=10)["count"] > first)
    watched.stop()


def test_a_slow_look_is_not_waited_for_and_a_failed_one_says_why() -> None:
    hold = threading.Event()
    watched = Live(
        {"slow": Look(hold.wait, 1), "bad": Look(lambda: os.environ["NONE_SUCH"], 1), "good": Look(lambda: 1, 1)}
    )
    watched.start()
    until(lambda: watched.newest(patience=0.01).keys() >= {"bad", "good"})
    assert watched.newest(patience=0.01) == {"bad": {"error": "'NONE_SUCH'"}, "good": 1}
    hold.set()
    watched.stop()


def test_nobody_watching_means_no_looking(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(poller, "WATCHED", 0.0)
    counter = itertools.count()
    watched = Live({"count": Look(lambda: next(counter), 0.01)})
    watched.start()
    time.sleep(0.1)
    watched.stop()
    assert next(counter) == 0
