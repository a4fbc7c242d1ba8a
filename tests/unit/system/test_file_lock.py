"""The lock on a file: who is kept out, for how long, and what its holder may do to the file."""

from __future__ import annotations

import shutil
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from sandbox.system import file_lock, interruption
from sandbox.system.file_lock import Held


def test_lock_keeps_threads_and_processes_out(tmp_path: Path) -> None:
    lock = tmp_path / ".lock"
    code = "import sys; from pathlib import Path; from sandbox.system import file_lock\n"
    code += "with file_lock.hold(Path(sys.argv[1]), seconds=0): pass"
    other = [sys.executable, "-c", code, str(lock)]
    with file_lock.hold(lock, seconds=0):
        with pytest.raises(Held), file_lock.hold(lock, seconds=0.1):
            pass
        done = subprocess.run(other, cwd=Path(__file__).parents[3], stderr=subprocess.PIPE, text=True, check=False)
        assert "file_lock.Held" in done.stderr
    subprocess.run(other, cwd=Path(__file__).parents[3], check=True)


def test_lock_is_free_once_released_while_a_child_has_the_file(tmp_path: Path) -> None:
    descriptor = file_lock.acquire(tmp_path / ".lock", seconds=0)
    with subprocess.Popen(["sleep", "60"], pass_fds=[descriptor]) as child:
        try:
            file_lock.release(descriptor)
            with file_lock.hold(tmp_path / ".lock", seconds=0):
                pass
        finally:
            child.kill()


def test_lock_is_handed_to_who_waits_for_it(tmp_path: Path) -> None:
    lock, order = tmp_path / ".lock", []

    def second() -> None:
        with file_lock.hold(lock, seconds=30):
            order.append("second")

    with file_lock.hold(lock, seconds=0):
        thread = threading.Thread(target=second)
        thread.start()
        time.sleep(0.1)
        order.append("first")
    thread.join(30)
    assert order == ["first", "second"]


def test_lock_whose_folder_is_removed_is_made_again(tmp_path: Path) -> None:
    lock = tmp_path / "locks" / "demo" / ".lock"
    with file_lock.hold(lock, seconds=0):
        shutil.rmtree(tmp_path / "locks")
        with file_lock.hold(lock, seconds=0), pytest.raises(Held), file_lock.hold(lock, seconds=0):
            pass
    assert stat.S_IMODE(lock.stat().st_mode) == 0o600
    assert stat.S_IMODE(lock.parent.stat().st_mode) == 0o700


@pytest.mark.parametrize("there", [True, False])
def test_link_in_the_place_of_a_lock_is_not_followed(tmp_path: Path, there: bool) -> None:
    target, lock = tmp_path / "target", tmp_path / ".lock"
    lock.symlink_to(target)
    if there:
        target.touch()
    with pytest.raises(OSError, match="symbolic links"), file_lock.hold(lock, seconds=0):
        pass
    assert target.exists() == there


def test_interrupted_wait_for_a_lock_ends_at_once(tmp_path: Path) -> None:
    with file_lock.hold(tmp_path / ".lock", seconds=0):
        interruption.request()
        try:
            with pytest.raises(interruption.Interrupted), file_lock.hold(tmp_path / ".lock", seconds=60):
                pass
        finally:
            interruption.clear()
