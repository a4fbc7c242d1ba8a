"""Programs that outlive a command are found again and ended, and nothing else is."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from sandbox.errors import MissingTool
from sandbox.system import daemon
from sandbox.system.wait import wait_until

IDLE = "import signal; print('begun', flush=True); signal.pause()"
STUBBORN = "import signal; signal.signal(15, signal.SIG_IGN); print('begun', flush=True)\nwhile True: signal.pause()"


@pytest.fixture
def record(tmp_path: Path) -> Iterator[Path]:
    place = tmp_path / "process.json"
    yield place
    daemon.end(place)


def start(record: Path, code: str) -> daemon.Detached:
    log = record.with_name("log")
    child = daemon.start([sys.executable, "-c", code], log_to=log, record=record)
    wait_until(lambda: None if "begun\n" in log.read_text() else "silent", what="the program", timeout=20, pause=0.01)
    return child


def test_daemon_is_found_by_its_record_and_ended_once(record: Path) -> None:
    name = "import ctypes; ctypes.CDLL(None).prctl(15, 'vierzehn Zeichä'.encode(), 0, 0, 0); "  # cut within a letter
    child = start(record, name + IDLE)
    assert daemon.find(record) == child
    assert child.running
    assert os.getsid(child.pid) == child.pid  # nothing typed at our terminal reaches it
    assert daemon.end(record)
    assert not child.running
    assert not record.exists()
    assert not daemon.end(record)
    ended = start(record, "print('begun')")
    wait_until(lambda: "runs" if ended.running else None, what="its end", timeout=20, pause=0.01)
    assert daemon.find(record) is None and not daemon.end(record) and not record.exists()
    with pytest.raises(MissingTool, match="/nowhere/program is not installed"):
        daemon.start(["/nowhere/program"], log_to=record.with_name("log"), record=record)
    assert not record.exists()


def test_daemon_ignoring_sigterm_is_killed(record: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(daemon, "GRACE", 0.1)
    child = start(record, STUBBORN)
    assert daemon.end(record)
    assert not child.running


@pytest.mark.fault(11)
def test_process_with_a_reused_id_is_left_alone(record: Path) -> None:
    """A record whose process id now belongs to another program → that program is left alone."""
    child = start(record, IDLE)
    record.write_text(json.dumps({"pid": child.pid, "started": "12345"}))
    assert daemon.find(record) is None
    assert not daemon.end(record)
    assert child.running
    record.write_text(json.dumps({"pid": child.pid, "started": child.started}))


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"pid": "x", "started": 1}', '{"pid": -1, "started": "1"}'])
def test_invalid_record_names_no_process(tmp_path: Path, text: str) -> None:
    record = tmp_path / "process.json"
    record.write_text(text)
    assert daemon.find(record) is None
    assert not daemon.end(record)
