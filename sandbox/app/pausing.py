"""Pauses a sandbox: its nodes keep everything in memory and use no processor time until the sandbox is used again.

The kernel accepts connections for a paused node, and they wait. A process of the user (`waker`) sees them at the edge
and at the API server's port, and resumes the nodes. Commands that change a sandbox resume it first.
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
    """Resume the sandbox if the block fails or is interrupted: no process would see clients of a half paused one."""
    try:
        yield
    except BaseException:
        _resume(engine, names)
        raise


def pause(engine: Engine, names: Names) -> bool:
    """Pause the nodes and end the connections of clients, who connect again when they need something.

    Returns whether a node was running. The caller holds the sandbox's lock. Raises SandboxError.
    """
    if not names.folder.exists():
        return False
    use = Use.of(engine, names)
    use.cut()
    # Written before the nodes pause, so that the next command can undo a pause that was killed.
    files.write_atomic(names.paused, use.read().to_json(), mode=0o600)
    use.trust_servers(healthy=True)
    paused = paused_nodes.pause(providers.nodes(engine, names))
    if not paused:
        use.trust_servers(healthy=False)
        names.paused.unlink()
    return paused


def wake(engine: Engine, names: Names) -> bool:
    """Resume the nodes if they are paused; returns whether a node was paused. Raises SandboxError."""
    return names.paused.exists() and _resume(engine, names)


def _resume(engine: Engine, names: Names) -> bool:
    resumed = paused_nodes.resume(providers.nodes(engine, names))
    Use.of(engine, names).trust_servers(healthy=False)
    names.paused.unlink(missing_ok=True)
    return resumed


def watch(names: Names, after: float | None) -> None:
    """Start the waker, which pauses the sandbox again after `after` seconds without use. Raises SandboxError.

    The waker begins to watch when the calling command has released the sandbox's lock.
    """
    daemon.end(names.waker)
    # -P: the current folder may contain a package that is called sandbox.
    argv = [sys.executable, "-P", "-m", "sandbox.app.waker", names.name, *([str(after)] if after else ())]
    daemon.start(argv, log_to=names.waker.with_suffix(".log"), record=names.waker)


def forget(names: Names) -> None:
    """End the waker and remove its files. Raises SandboxError."""
    daemon.end(names.waker)
    for path in (names.paused, names.waker.with_suffix(".log")):
        path.unlink(missing_ok=True)
