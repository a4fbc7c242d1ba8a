"""The lock file for a kubeconfig that kubectl and kind use too, but which does not outlive a killed command."""

import contextlib
import fcntl
import os
import shlex
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sandbox.errors import SandboxError
from sandbox.system import files, interruption

PATIENCE = 10.0
# The content of our lock file, which client-go's does not have: it tells one that a killed command left.
MARK = b"sandbox\n"


class KubeconfigError(SandboxError):
    """The user's kubeconfig cannot be read or changed; it was not changed."""

    id = "kubeconfig"


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock file that kubectl and kind use, too (client-go, tools/clientcmd/config.go: lockFile)."""
    lock = _lock_of(path)
    deadline = time.monotonic() + PATIENCE
    try:
        lock.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        while (descriptor := _take(lock)) is None:
            if time.monotonic() > deadline:
                raise _is_locked(path, lock)
            interruption.pause(0.1)
    except OSError as error:
        fix = f"check the owner, the permissions and the free space of {path.parent}, then run this again"
        raise KubeconfigError(f"{path} cannot be changed", details=str(error), fix=fix) from error
    try:
        yield
    finally:
        lock.unlink(missing_ok=True)
        os.close(descriptor)


def require_unlocked(path: Path) -> None:
    """Raise KubeconfigError when a lock was left over at `path`, for which waiting is no help."""
    lock = _lock_of(path)
    if (age := _age(lock)) is not None and age > PATIENCE and files.content(lock) != MARK:
        raise _is_locked(path, lock)


def _lock_of(path: Path) -> Path:
    return path.with_name(path.name + ".lock")


def _take(lock: Path) -> int | None:
    """Return the open lock file, which is ours as long as it is locked too; None while another process has it."""
    try:
        descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return _inherit(lock)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        os.write(descriptor, MARK)
    except OSError:  # such as a full disk: without the mark it would pass for a lock of kubectl's
        lock.unlink()
        os.close(descriptor)
        raise
    return descriptor


def _inherit(lock: Path) -> int | None:
    """Return the lock file that a killed command left: the file exists, but its flock(2) ended with the process."""
    with contextlib.suppress(OSError):
        descriptor = os.open(lock, os.O_RDWR | os.O_NONBLOCK)  # another process may have put a FIFO there
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.read(descriptor, len(MARK)) == MARK and os.path.samestat(os.fstat(descriptor), lock.stat()):
                return descriptor
        except OSError:
            pass
        os.close(descriptor)
    return None


def _is_locked(path: Path, lock: Path) -> KubeconfigError:
    age = _age(lock)
    since = "" if age is None else f" since {age:.0f} s"
    return KubeconfigError(
        f"{path} is locked",
        details=f"{lock} exists{since}; kubectl or kind is at work, or one was killed",
        fix=f"if no kubectl or kind is running: rm {shlex.quote(str(lock))}",
    )


def _age(lock: Path) -> float | None:
    try:
        return max(0.0, time.time() - lock.stat().st_mtime)
    except OSError:
        return None
