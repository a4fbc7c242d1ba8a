"""A lock on a file, by flock(2): between threads and processes, and ended by the kernel however its holder ends."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from sandbox.system import interruption

EVERY = 0.05  # seconds
TRIES = 100
# A link is not followed: another user may have put it there. NFS makes of an exclusive lock one by fcntl(2), for which
# the file must be open for writing.
FLAGS = os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC


class Held(Exception):
    """Another thread or process holds the lock, and did not let it go in time."""


@contextmanager
def hold(path: Path, *, seconds: float) -> Iterator[None]:
    """Hold the lock file `path` for the length of the block. Raises Held and OSError as `acquire` does."""
    descriptor = acquire(path, seconds=seconds)
    try:
        yield
    finally:
        release(descriptor)


def acquire(path: Path, *, seconds: float) -> int:
    """Return the descriptor of the lock file `path`, locked, after waiting up to `seconds` for its holder.

    The file is made where it is missing, with its folder, and stays. Not re-entrant. Raises Held and OSError.
    """
    deadline = time.monotonic() + seconds
    while (descriptor := _attempt(path)) is None:
        if time.monotonic() >= deadline:
            raise Held(path)
        interruption.pause(EVERY)
    return descriptor


def release(descriptor: int) -> None:
    """Release what `acquire` returned, also where a program that is being started still has the descriptor."""
    fcntl.flock(descriptor, fcntl.LOCK_UN)
    os.close(descriptor)


def _attempt(path: Path) -> int | None:
    """Return the locked file; None when another has it, or its holder removed it."""
    descriptor = _open(path)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.fstat(descriptor).st_nlink:  # else the lock is on a file that no one finds any more
            return descriptor
    except (BlockingIOError, PermissionError):  # the second from file systems that lock as fcntl(2) does
        pass
    except BaseException:
        os.close(descriptor)
        raise
    os.close(descriptor)
    return None


def _open(path: Path) -> int:
    """Open the lock file, or make it; its last holder may remove it, or its folder, at the same moment."""
    for _ in range(TRIES):
        with suppress(FileNotFoundError):
            return os.open(path, FLAGS)
        with suppress(FileNotFoundError, FileExistsError):  # the second of what is gone, or there, a moment later
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = os.open(path, FLAGS | os.O_CREAT | os.O_EXCL, 0o600)
            os.fchmod(descriptor, 0o600)  # whatever the umask
            return descriptor
    return os.open(path, FLAGS)
