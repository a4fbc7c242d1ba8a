"""One command at a time on one sandbox: the others wait, and are told which one runs.

Only the file lock counts (flock(2), which the kernel releases however its holder ends). What is written next to it is
for information.
"""

from __future__ import annotations

import errno
import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from sandbox.errors import SandboxError
from sandbox.system import daemon, fair_lock, files

RECORD = "holder.json"


class Busy(SandboxError):
    """Another command works on the same sandbox, and did not end in time."""

    id = "busy"


@dataclass(frozen=True, kw_only=True)
class Holder:
    """The holder of a lock: the command as it was typed, when it got the lock (seconds since 1970), and its process."""

    command: str
    since: float
    pid: int
    started: str

    @classmethod
    def this(cls, command: str) -> Holder:
        """Return this very process, from now on."""
        return cls(command=command, since=time.time(), pid=os.getpid(), started=daemon.this().started)

    @classmethod
    def read(cls, folder: Path) -> Holder | None:
        """Return the recorded holder of the lock in `folder`, if its process still runs."""
        try:
            content = files.read_json(folder / RECORD)
            found = cls(
                command=str(content["command"]),
                since=float(content["since"]),
                pid=int(content["pid"]),
                started=str(content["started"]),
            )
            time.localtime(found.since)
        except (OSError, ValueError, TypeError, KeyError, OverflowError):  # the last for a time that no clock shows
            return None
        return found if daemon.Detached(found.pid, found.started).running else None

    def __str__(self) -> str:
        clock = time.strftime("%H:%M:%S", time.localtime(self.since))
        return f"`{self.command}` (pid {self.pid}, since {clock}, {time.time() - self.since:.0f} s)"


@contextmanager
def take(folder: Path, command: str, *, seconds: float, waits: Callable[[str], None], what: str = "") -> Iterator[None]:
    """Hold the lock in `folder` for the length of the block, after waiting up to `seconds` for its holder.

    `waits` is called once, with a message for people, when there is something to wait for. `what` is what the others
    work on, by default the sandbox that `folder` is named after. Raises Busy.
    """
    files.make_private_dir(folder)
    files.require_regular(folder / ".lock")
    lock = FileLock(folder / ".lock", mode=0o600)
    try:
        _acquire(lock, folder, 0)
    except Timeout:
        _wait(lock, folder, seconds, waits, what or f"the sandbox '{folder.name}'")
    files.make_private_dir(folder)  # its previous holder may have removed it
    record = folder / RECORD
    files.sweep(record)
    try:
        _note(record, command)
        yield
    finally:
        with suppress(OSError):
            record.unlink(missing_ok=True)
        lock.release()


def forget(folder: Path) -> None:
    """Remove the lock's own files, as the last act of its holder; a waiting command creates them again.

    A lock on a file that has no name any more does not count (filelock, UnixFileLock: st_nlink).
    """
    for name in (RECORD, ".lock"):
        (folder / name).unlink(missing_ok=True)
    files.remove_empty(folder)
    files.remove_empty(folder.parent)


def _note(record: Path, command: str) -> None:
    """Write who holds the lock; on a full disk it is not told, for the command may be the one that frees space."""
    try:
        files.write_atomic(record, json.dumps(asdict(Holder.this(command))).encode(), mode=0o600)
    except SandboxError as error:
        if not isinstance(error.__cause__, OSError) or error.__cause__.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise


def _acquire(lock: FileLock, folder: Path, seconds: float) -> None:
    """Acquire the lock within `seconds`, even if its holder removes the folder meanwhile. Raises Timeout."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            fair_lock.acquire(lock, folder, max(0.0, deadline - time.monotonic()))
        except (FileNotFoundError, FileExistsError):  # mkdir(2) if the folder is removed right after
            files.make_private_dir(folder)
        else:
            return


def _wait(lock: FileLock, folder: Path, seconds: float, waits: Callable[[str], None], what: str) -> None:
    holder = Holder.read(folder)
    who = str(holder or "another command")
    if seconds:
        waits(f"waiting for {who}; at most {seconds:.0f} s")
        with suppress(Timeout):
            _acquire(lock, folder, seconds)
            return
        holder = Holder.read(folder) or holder
    stop = f", or end it: kill {holder.pid}" if holder else ""
    raise Busy(
        f"another command works on {what}",
        details=str(holder) if holder else f"it holds the lock in {folder}",
        fix=f"wait for it{stop}",
    )
