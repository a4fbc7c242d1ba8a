"""Programs of the sandbox that outlive the command which started them, identified beyond their process id.

A process id may belong to another program later; together with the start time of its process it cannot.
"""

import contextlib
import json
import os
import signal
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from sandbox.errors import SandboxError
from sandbox.system import files, process
from sandbox.system.wait import WaitTimeout, wait_until

GRACE = 8.0  # seconds that a program gets to end by SIGTERM, before it is killed
_LARGEST = 2**31 - 1  # pid_t


@dataclass(frozen=True)
class Detached:
    """A process: its id, and its start time in the system's units (clock ticks since boot on Linux)."""

    pid: int
    started: str

    @property
    def running(self) -> bool:
        return _started(self.pid) == self.started


def this() -> Detached:
    return Detached(os.getpid(), _started(os.getpid()) or "")


def start(argv: process.Argv, *, log_to: Path, record: Path) -> Detached:
    """Start a program that outlives us, its output added to `log_to`, and record it in `record`."""
    pid = process.detach(argv, log_to=log_to)
    child = Detached(pid, _started(pid) or "")
    files.write_atomic(record, json.dumps(asdict(child)).encode(), mode=0o600)
    return child


def find(record: Path) -> Detached | None:
    try:
        content = files.read_json(record)
        child = Detached(int(content["pid"]), str(content["started"]))
    except (OSError, ValueError, TypeError, KeyError):
        return None
    return child if child.running else None


def end(record: Path) -> bool:
    """End the recorded process, first by SIGTERM, and delete the record; returns whether it ran.

    Raises SandboxError when it cannot be ended.
    """
    child = find(record)
    if child is not None:
        for number, patience in ((signal.SIGTERM, GRACE), (signal.SIGKILL, 5.0)):
            with contextlib.suppress(ProcessLookupError):
                os.kill(child.pid, number)
            with contextlib.suppress(WaitTimeout):
                wait_until(
                    lambda: "runs" if child.running else None, what="", timeout=patience, pause=0.02, sleep=time.sleep
                )
                break
        else:
            raise SandboxError(f"process {child.pid} does not end", fix=f"kill -9 {child.pid}")
    record.unlink(missing_ok=True)
    return child is not None


def _started(pid: int) -> str | None:
    if not 0 < pid <= _LARGEST:  # for waitpid(2), less than 1 means other processes
        return None
    with contextlib.suppress(ChildProcessError, OSError):
        os.waitpid(pid, os.WNOHANG)  # perhaps our own child: then its zombie is removed
    try:
        # Not psutil's create_time, which on Linux moves with the clock: ticks since boot do not.
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    # proc_pid_stat(5): the name, in parentheses, may hold any bytes; after it come the state and, 20th, the start.
    fields = stat.rpartition(")")[2].split()
    return None if fields[0] in "ZX" else fields[19]
