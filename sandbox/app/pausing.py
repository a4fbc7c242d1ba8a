"""Pauses a sandbox: its nodes stand still with everything in memory, until it is used again.

A process of the user's (`waker`) sees clients of the edge and of the API server, whose connections wait in the kernel
meanwhile. What a command asks of the cluster wakes it in the same way; what changes the sandbox wakes it first.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from sandbox.components.cluster import paused_nodes
from sandbox.components.edge.use import Use
from sandbox.engine import Engine
from sandbox.names import Names
from sandbox.plan import providers
from sandbox.system import daemon, files


@contextmanager
def awake_on_failure(engine: Engine, names: Names) -> Iterator[None]:
    """Resume the sandbox if the block fails or is interrupted: nothing would see clients of one half paused."""
    try:
        yield
    except BaseException:
        _resume(engine, names)
        raise


def pause(engine: Engine, names: Names) -> bool:
    """Pause a sandbox's nodes until it is used again; returns whether any ran. The caller holds the lock.

    Connected clients are cut off, so that they connect again when they need something. Raises SandboxError.
    """
    if not names.folder.exists():
        return False
    use = Use.of(engine, names)
    use.cut()
    files.write_atomic(names.paused, use.read().to_json(), mode=0o600)  # first: by it a pause that is killed is undone
    use.trust_servers(healthy=True)
    held = paused_nodes.pause(providers.nodes(engine, names))
    if not held:
        use.trust_servers(healthy=False)
        names.paused.unlink()
    return held


def wake(engine: Engine, names: Names) -> bool:
    """Resume a sandbox's nodes if they are paused; returns whether any was. Raises SandboxError."""
    return names.paused.exists() and _resume(engine, names)


def _resume(engine: Engine, names: Names) -> bool:
    woken = paused_nodes.resume(providers.nodes(engine, names))
    Use.of(engine, names).trust_servers(healthy=False)
    names.paused.unlink(missing_ok=True)
    return woken


def watch(names: Names, after: float | None) -> None:
    """Start a process that wakes the sandbox when it is used, and pauses it after `after` seconds without use.

    It does so once the caller, which holds the lock, has ended. Raises SandboxError.
    """
    daemon.end(names.waker)
    # -P, since the folder that a command is called in may hold a package of our name.
    argv = [sys.executable, "-P", "-m", "sandbox.app.waker", names.name, *([str(after)] if after else ())]
    daemon.start(argv, log_to=names.waker.with_suffix(".log"), record=names.waker)


def forget(names: Names) -> None:
    """End that process and remove its files. Raises SandboxError."""
    daemon.end(names.waker)
    for path in (names.paused, names.waker.with_suffix(".log")):
        path.unlink(missing_ok=True)
