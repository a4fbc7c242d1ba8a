"""A command in a terminal of its own: what it shows there, keys that are pressed, how it ends."""

from __future__ import annotations

import contextlib
import os
import pty
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import psutil

PATIENCE = 30.0
CTRL_C = b"\x03"


@dataclass
class Terminal:
    """A command that runs in `folder`, and its screen, which may be closed."""

    folder: Path
    child: subprocess.Popen[bytes]
    screen: int
    shown: bytes = b""
    closed: bool = False

    @classmethod
    def start(cls, argv: Sequence[str], folder: Path, env: Mapping[str, str]) -> Self:
        """Start a command, with `env` added to our own environment."""
        master, slave = pty.openpty()
        told = {**os.environ, "TERM": "xterm", **env}
        # What leads a session gets the first terminal that it opens (POSIX, 11.1.3). Python's `preexec_fn` could do
        # it too, but not safely where other threads run.
        opening = ["sh", "-c", 'exec "$@" <>"$0" >&0 2>&0', os.ttyname(slave), *argv]
        child = subprocess.Popen(opening, cwd=folder, env=told, start_new_session=True)
        os.close(slave)
        return cls(folder, child, master)

    def press(self, keys: bytes) -> None:
        os.write(self.screen, keys)

    def until(self, ready: Callable[[], object], seconds: float = PATIENCE) -> float:
        """Read the screen until then; how many seconds that took."""
        began = time.monotonic()
        while not ready():
            assert time.monotonic() < began + seconds, self.shown
            self.read()
        return time.monotonic() - began

    def read(self) -> None:
        if not self.closed:
            os.set_blocking(self.screen, False)
            with contextlib.suppress(OSError):  # nothing to read now, or no one left who writes
                self.shown += os.read(self.screen, 65536)
        time.sleep(0.01)

    def close(self) -> None:
        self.closed = True
        os.close(self.screen)

    def end(self, seconds: float = PATIENCE) -> int:
        """Its exit code, once all that it said is on the screen, which may come in several pieces."""
        self.until(lambda: self.child.poll() is not None, seconds)
        shown = None
        while shown != self.shown:
            shown = self.shown
            self.read()
        return self.child.returncode

    def give_up(self) -> None:
        self.child.kill()
        self.child.wait()
        if not self.closed:
            self.close()


def runs(noted: Path) -> bool:
    """Whether the process runs whose id is in the file; one that has ended may wait for init to take note of it."""
    with contextlib.suppress(psutil.NoSuchProcess):
        return bool(psutil.Process(int(noted.read_text())).status() != psutil.STATUS_ZOMBIE)
    return False
