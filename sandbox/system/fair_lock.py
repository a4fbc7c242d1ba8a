"""Takes a file lock in turn: a process that takes it again and again does not keep those from it that wait."""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path

from filelock import FileLock, Timeout

PAUSE = 0.05  # seconds between two tries, as filelock has them


def acquire(lock: FileLock, folder: Path, seconds: float) -> None:
    """Acquire the lock in `folder` within `seconds`. Raises Timeout, and OSError as where the folder is gone.

    Trying every now and then is slower than the process that has just released it. So the one that waits next locks
    the folder itself, and all others, the last holder too, wait for that first.
    """
    deadline = time.monotonic() + seconds
    turn = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        while not _is_next(turn):
            if time.monotonic() >= deadline:
                raise Timeout(lock.lock_file)
            time.sleep(PAUSE)
        lock.acquire(timeout=max(0.0, deadline - time.monotonic()))
    finally:
        os.close(turn)


def _is_next(turn: int) -> bool:
    """Lock the folder; return False while another process waits next."""
    try:
        fcntl.flock(turn, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # on a filesystem that locks no folders, all try at once
        pass
    return True
