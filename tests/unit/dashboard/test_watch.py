"""What the page shows is renewed while it is asked for; the browser is told where it is by a private file."""

from __future__ import annotations

import itertools
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from html import unescape
from pathlib import Path

import pytest

from sandbox.dashboard import watch
from sandbox.dashboard.watch import Live, PolledPart
from tests.support.programs import make_program

URL = "http://127.0.0.1:4711/#the-token-4f1c9e&x"
OPEN = """
import sys
from pathlib import Path
from sandbox.dashboard.watch import opened
with opened(sys.argv[1], Path.home()):
    print("open")
"""
# Writes down its own command line, as every user may read it, and what the file has that it was given.
BROWSER = """#!/bin/sh
tr '\\0' '\\n' < /proc/$$/cmdline > "$SEEN/cmdline"
file=${1#file://}
cat "$file" > "$SEEN/page"
stat -c %a "$file" > "$SEEN/mode"
"""


@pytest.mark.security(6, 17)
def test_a_browsers_arguments_do_not_have_the_token(tmp_path: Path, isolated_home: Path) -> None:
    """Another user reads the browser's command line → a file's name, whose content only the owner can read."""
    browser = make_program(tmp_path / "browser", BROWSER)
    environment = {**os.environ, "BROWSER": str(browser), "SEEN": str(tmp_path)}
    argv = [sys.executable, "-c", OPEN, URL]
    done = subprocess.run(argv, env=environment, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "open\n"
    cmdline = (tmp_path / "cmdline").read_text()
    assert "token" not in cmdline and re.search(r"file://\S+/sandbox-dashboard-\w+\.html", cmdline)
    place = Path(cmdline.split("file://")[1].strip())
    assert place.parent == isolated_home and not place.name.startswith(".")  # what confined browsers may read
    assert URL in unescape((tmp_path / "page").read_text())
    assert (tmp_path / "mode").read_text().strip() == "600"
    assert list(isolated_home.iterdir()) == []


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_state_is_renewed_while_watched() -> None:
    counter = itertools.count()
    watched = Live({"count": PolledPart(lambda: next(counter), 0.01)})
    watched.start()
    first = watched.newest(patience=10)["count"]
    until(lambda: watched.newest(patience=10)["count"] > first)
    watched.stop()


def test_a_slow_part_is_not_waited_for_and_a_failed_one_says_why() -> None:
    hold = threading.Event()
    watched = Live(
        {
            "slow": PolledPart(hold.wait, 1),
            "bad": PolledPart(lambda: os.environ["NONE_SUCH"], 1),
            "good": PolledPart(lambda: 1, 1),
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
    watched = Live({"count": PolledPart(lambda: next(counter), 0.01)})
    watched.start()
    time.sleep(0.1)
    watched.stop()
    assert next(counter) == 0
