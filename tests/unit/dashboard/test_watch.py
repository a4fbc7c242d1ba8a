"""What the page shows is renewed while it is asked for; the browser is told where it is by a private file."""

from __future__ import annotations

import itertools
import os
import threading
import time
import webbrowser
from collections.abc import Callable
from html import unescape
from pathlib import Path

import pytest

from sandbox.dashboard import watch
from sandbox.dashboard.watch import Live

URL = "http://127.0.0.1:4711/#the-token-4f1c9e&x"


@pytest.mark.security(6, 17)
def test_a_browsers_arguments_do_not_have_the_token(isolated_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another user reads the browser's command line → a file's name, whose content only the owner can read."""
    arguments: list[str] = []
    monkeypatch.setattr(webbrowser, "open", arguments.append)
    with watch.opened(URL, isolated_home):
        (page,) = isolated_home.iterdir()
        assert arguments == [f"file://{page}"] and "token" not in page.name
        assert not page.name.startswith("."), "confined browsers may read it"
        assert URL in unescape(page.read_text())
        assert page.stat().st_mode & 0o777 == 0o600
    assert list(isolated_home.iterdir()) == []


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_state_is_renewed_while_watched() -> None:
    counter = itertools.count()
    watched = Live({"count": (lambda: next(counter), 0.01)})
    watched.start()
    first = watched.newest(patience=10)["count"]
    until(lambda: watched.newest(patience=10)["count"] > first)
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
    until(lambda: watched.newest(patience=0.01).keys() >= {"bad", "good"})
    assert watched.newest(patience=0.01) == {"bad": {"error": "'NONE_SUCH'"}, "good": 1}
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
