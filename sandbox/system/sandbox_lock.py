"""One command at a time on one sandbox: the others wait, and are told which one runs.

Only the file lock counts (flock(2), which the kernel releases however its holder ends). What is written next to it is
for information.
"""

from __future__ import annotations

import errno
import json
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from sandbox.errors import SandboxError
from sandbox.system import daemon, files
from sandbox.system.files import Locked

RECORD = "holder.json"
FULL_DISK = (errno.ENOSPC, errno.EDQUOT)


class Busy(SandboxError):
    """Another command works on the same sandbox, and did not end in time."""

    id = "busy"


@dataclass(frozen=True, kw_only=True)
class Holder:
    """The command as it was typed, when it got the lock (seconds since 1970), and its process."""

    command: str
    since: float
    pid: int
    started: str

    @classmethod
    def read(cls, folder: Path) -> Holder | None:
        try:
            holder = cls(**files.read_json(folder / RECORD))
            return holder if daemon.Detached(holder.pid, holder.started).running else None
        except (OSError, ValueError, TypeError):
            return None

    def __str__(self) -> str:
        clock = time.strftime("%H:%M:%S", time.localtime(self.since))
        return f"`{self.command}` (pid {self.pid}, since {clock}, {time.time() - self.since:.0f} s)"


@contextmanager
def take(folder: Path, command: str, *, seconds: float, waits: Callable[[str], None], what: str = "") -> Iterator[None]:
    """Hold the lock in `folder` for the length of the block, after waiting up to `seconds` for its holder.

    `waits` is called once, with a message for people, when there is something to wait for. `what` is what the others
    work on, by default the sandbox that `folder` is named after. Raises Busy.
    """
    what = what or f"the sandbox '{folder.name}'"
    with ExitStack() as stack:
        try:
            stack.enter_context(files.exclusive(folder, seconds=0))
        except Locked:
            holder = Holder.read(folder)
            if seconds:
                waits(f"waiting for {holder or 'another command'}; at most {seconds:.0f} s")
            try:
                stack.enter_context(files.exclusive(folder, seconds=seconds))
            except Locked as error:
                holder = Holder.read(folder) or holder
                raise Busy(
                    f"another command works on {what}",
                    details=str(holder) if holder else f"it holds the lock in {folder}",
                    fix=f"wait for it, or end it: kill {holder.pid}" if holder else "wait for it",
                ) from error
        files.make_private_dir(folder)  # its previous holder may have removed it
        record, this = folder / RECORD, daemon.this()
        holder = Holder(command=command, since=time.time(), pid=this.pid, started=this.started)
        files.sweep(record)
        try:
            try:
                files.write_atomic(record, json.dumps(asdict(holder)).encode(), mode=0o600)
            except SandboxError as error:  # on a full disk it is not told: the command may be the one that frees space
                if not isinstance(error.__cause__, OSError) or error.__cause__.errno not in FULL_DISK:
                    raise
            yield
        finally:
            with suppress(OSError):
                record.unlink(missing_ok=True)


def forget(folder: Path) -> None:
    """Remove the lock's own files, as the last act of its holder; a waiting command creates them again.

    A lock on a file that has no name any more does not count (filelock, UnixFileLock: st_nlink).
    """
    for name in (RECORD, ".lock"):
        (folder / name).unlink(missing_ok=True)
    files.remove_empty(folder)
    files.remove_empty(folder.parent)
