"""`python -m sandbox.snapshot.resumer STATE CACHE KUBECONFIG NAME CONTAINER…`: resumes what a killed `save` has paused.

The command that pauses the containers holds the other end of this process's standard input. It resumes them and ends
this process itself; where the input ends before that, the command was killed. A sandbox that `pause` has paused by
then stays so. What goes wrong is said on standard error, which is the log of commands.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sandbox.names import Names

PATIENCE = 600.0  # seconds to wait for a command that has the lock by then


def argv(names: Names, containers: Sequence[str]) -> tuple[str, ...]:
    """Return the command that runs this module for containers of a sandbox."""
    home = names.home
    # -P, since the folder that a command is called in may hold a package of our name.
    program = (sys.executable, "-P", "-m", __name__)
    return (*program, *map(str, (home.state, home.cache, home.kubeconfig)), names.name, *containers)


def resume(names: Names, containers: Sequence[str]) -> None:
    """Resume those of the containers that are paused, under the sandbox's lock. Raises SandboxError."""
    from sandbox.components.edge.use import Use
    from sandbox.engine import Engine
    from sandbox.system import sandbox_lock

    with sandbox_lock.take(
        names.home.lock(names.name), "sandbox snapshot save", seconds=PATIENCE, waits=lambda _: None
    ):
        if names.paused.exists():
            return
        engine = Engine.connect()
        for name in containers:
            found = engine.container(name)
            if found and found.paused:
                engine.start(name)
        Use.of(engine, names).trust_servers(healthy=False)


def main() -> None:
    """Wait for the end of standard input, then resume."""
    state, cache, kubeconfig, name, *containers = sys.argv[1:]
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    os.chdir("/")
    os.umask(0o077)
    sys.stdin.buffer.read()
    from sandbox.errors import SandboxError
    from sandbox.names import Home
    from sandbox.sanitize import fit

    try:
        resume(Home(Path(state), Path(cache), Path(kubeconfig)).sandbox(name), containers)
    except SandboxError as error:
        now = time.strftime("%F %T")
        sys.exit(fit(f"{now} {os.getpid()} {__spec__.name}: {name} stays paused: {error}"))


if __name__ == "__main__":
    main()
