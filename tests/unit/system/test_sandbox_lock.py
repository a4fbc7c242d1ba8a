"""One command at a time, whatever happens to the one that has the turn; judged by real processes that hold it."""

from __future__ import annotations

import errno
import json
import os
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import pytest

from sandbox.errors import SandboxError
from sandbox.system import sandbox_lock
from sandbox.system.sandbox_lock import RECORD, Busy, Holder

HOLD = """
import sys, time
from pathlib import Path
from sandbox.system import sandbox_lock as turn
with turn.take(Path(sys.argv[1]), "sandbox up -f 'my demo.yaml'", seconds=30, waits=print):
    print("mine", flush=True)
    sys.stdin.read()
"""


@contextmanager
def holding(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that has the turn until its standard input is closed."""
    command, pipe = [sys.executable, "-c", HOLD, str(folder)], subprocess.PIPE
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, env=environment) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "mine\n"
        yield child
        child.kill()


def silent(line: str) -> None:
    raise AssertionError(f"no one was to wait: {line}")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "locks" / "demo"


def test_uncontended_lock_waits_for_nothing_and_leaves_no_record(folder: Path) -> None:
    with sandbox_lock.take(folder, "sandbox up", seconds=0, waits=silent):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert stat.S_IMODE((folder / RECORD).stat().st_mode) == 0o600
        found = Holder.read(folder)
        assert found is not None and (found.command, found.pid) == ("sandbox up", os.getpid())
    assert not (folder / RECORD).exists()


@pytest.mark.fault(9)
def test_second_command_names_the_first_and_then_goes_on(folder: Path) -> None:
    """A second command on the same sandbox → it says who works on it since when, and waits."""
    said: list[str] = []
    with holding(folder) as child:

        def told(line: str) -> None:
            said.append(line)
            assert child.stdin is not None
            child.stdin.close()

        with sandbox_lock.take(folder, "sandbox down", seconds=30, waits=told):
            assert child.wait(10) == 0
    (line,) = said
    assert f"waiting for `sandbox up -f 'my demo.yaml'` (pid {child.pid}, since " in line and "at most 30 s" in line


@pytest.mark.fault(9, 11)
def test_lock_is_busy_until_its_holder_is_killed(folder: Path) -> None:
    """A second command with --lock-timeout → error `busy` with the other's process; kill -9 of it → the next's turn."""
    with holding(folder) as child:
        for seconds, waits in ((0.0, silent), (0.2, print)):
            with (
                pytest.raises(Busy, match="works on the sandbox 'demo'") as caught,
                sandbox_lock.take(folder, "sandbox down", seconds=seconds, waits=waits),
            ):
                raise AssertionError("not ours")
            assert caught.value.id == "busy"
            assert f"pid {child.pid}" in caught.value.details and f"kill {child.pid}" in caught.value.fix
        child.kill()
        child.wait()
        assert (folder / RECORD).exists()
        with sandbox_lock.take(folder, "sandbox down", seconds=0, waits=silent):
            found = Holder.read(folder)
            assert found is not None and found.command == "sandbox down"


@pytest.mark.fault(11)
@pytest.mark.parametrize(
    "content",
    [
        json.dumps({"command": "sandbox up", "since": 1.0, "pid": os.getppid(), "started": "1"}),
        json.dumps({"command": "sandbox up", "since": 1.0, "pid": 1, "started": ""}),
        "[]",
        "\0",
    ],
)
def test_lock_file_content_decides_nothing(folder: Path, content: str) -> None:
    """A lock file left behind, with the id of a process that runs → no command waits, and none is named."""
    folder.mkdir(parents=True)
    (folder / ".lock").touch()
    (folder / RECORD).write_text(content)
    assert Holder.read(folder) is None
    with sandbox_lock.take(folder, "sandbox up", seconds=0, waits=silent):
        pass


@pytest.mark.fault(16)
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO])
def test_full_disk_leaves_the_lock_without_a_record(folder: Path, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    """no space for the file that says which command runs → `stop` and `down` work all the same, and free some"""

    def refuse(_: int) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "fsync", refuse)
    refused = nullcontext() if code != errno.EIO else pytest.raises(SandboxError, match="cannot be written")
    with refused, sandbox_lock.take(folder, "sandbox down", seconds=0, waits=silent):
        assert not (folder / RECORD).exists()
        with pytest.raises(Busy), sandbox_lock.take(folder, "sandbox up", seconds=0, waits=silent):
            raise AssertionError("both have it")


def test_a_lock_that_its_holder_removes_still_keeps_others_out(tmp_path: Path) -> None:
    folder, order = tmp_path / "locks" / "demo", []
    started = threading.Event()

    def second() -> None:
        started.set()
        with sandbox_lock.take(folder, "second", seconds=30, waits=lambda _: None):
            order.append("second")
            with pytest.raises(Busy), sandbox_lock.take(folder, "third", seconds=0, waits=print):
                pass

    with sandbox_lock.take(folder, "first", seconds=0, waits=print):
        thread = threading.Thread(target=second)
        thread.start()
        started.wait()
        order.append("first")
        sandbox_lock.forget(folder)
    thread.join(30)
    assert order == ["first", "second"] and stat.S_IMODE(folder.stat().st_mode) == 0o700
