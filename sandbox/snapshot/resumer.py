"""`python -m sandbox.snapshot.resumer LOCK PAUSED CONTAINER…`: resumes containers whose command was killed.

Its standard input ends with the command that paused them, which otherwise resumes them and ends this process. It
leaves a sandbox alone that is paused on purpose, as the file PAUSED tells.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

PATIENCE = 600.0  # seconds to wait for a command that runs by then


def resume(lock: Path, paused: Path, containers: Sequence[str]) -> None:
    """Resume those containers that are paused, with the sandbox's lock. Raises SandboxError."""
    from sandbox.engine import Engine
    from sandbox.system import sandbox_lock

    with sandbox_lock.take(lock, "sandbox snapshot save", seconds=PATIENCE, waits=lambda _: None):
        engine = Engine.connect()
        for name in containers if not paused.exists() else ():
            found = engine.container(name)
            if found and found.paused:
                engine.start(name)


def main() -> None:
    """Wait for the end of the command, then resume."""
    lock, paused, *containers = sys.argv[1:]
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    os.chdir("/")
    os.umask(0o077)
    sys.stdin.buffer.read()
    from sandbox.errors import SandboxError

    try:
        resume(Path(lock), Path(paused), containers)
    except SandboxError as error:
        sys.exit(f"{error}: {error.details}")


if __name__ == "__main__":
    main()
