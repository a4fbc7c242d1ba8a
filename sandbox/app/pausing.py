"""Pauses a sandbox: its nodes keep everything in memory and use no processor time until the sandbox is used again.

The kernel accepts connections for a paused node, and they wait. `python -m sandbox.app.pausing NAME [SECONDS]` sees
them at the edge and at the API server's port, and resumes the nodes; with SECONDS it also pauses a sandbox that was not
used for so long. Commands that change a sandbox resume it first.
"""

import logging
import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from sandbox.app import context
from sandbox.app.session import Session
from sandbox.components.cluster import docker_nodes
from sandbox.components.edge.use import Use, UseCounts
from sandbox.engine import Engine
from sandbox.errors import SandboxError
from sandbox.names import Names
from sandbox.plan import providers
from sandbox.system import daemon, files
from sandbox.system.sandbox_lock import Busy, Holder

log = logging.getLogger(__name__)

WATCHING = 0.4  # seconds between two checks of a paused sandbox: its first answer may take a second
RESTING = 5.0  # seconds between two checks of a running one


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
    paused = docker_nodes.pause(providers.nodes(engine, names))
    if not paused:
        use.trust_servers(healthy=False)
        names.paused.unlink()
    return paused


def wake(engine: Engine, names: Names) -> bool:
    """Resume the nodes if they are paused; returns whether a node was paused. Raises SandboxError."""
    return names.paused.exists() and _resume(engine, names)


def _resume(engine: Engine, names: Names) -> bool:
    resumed = docker_nodes.resume(providers.nodes(engine, names))
    registry = engine.container(names.registry)
    if registry and registry.paused:  # by a `snapshot save` that was killed
        engine.start(names.registry)
    Use.of(engine, names).trust_servers(healthy=False)
    names.paused.unlink(missing_ok=True)
    return resumed


def watch(names: Names, after: float | None) -> None:
    """Start the process that wakes the sandbox, and pauses it after `after` seconds without use. Raises SandboxError.

    It begins to watch when the calling command has released the sandbox's lock.
    """
    daemon.end(names.waker)
    # -P: the current folder may contain a package that is called sandbox.
    argv = [sys.executable, "-P", "-m", __name__, names.name, *([str(after)] if after else ())]
    daemon.start(argv, log_to=names.waker.with_suffix(".log"), record=names.waker)


def forget(names: Names) -> None:
    """End the process that watches, and remove its files. Raises SandboxError."""
    daemon.end(names.waker)
    for path in (names.paused, names.waker.with_suffix(".log")):
        path.unlink(missing_ok=True)


def follow(engine: Engine, names: Names, after: float | None) -> None:
    """Watch until the sandbox is gone, or awake and not to be paused. Raises SandboxError without an engine."""
    while Holder.read(names.home.lock(names.name)):  # the command that started this process still works
        time.sleep(WATCHING / 4)
    use = Use.of(engine, names)
    while names.folder.exists():
        if names.paused.exists():
            _while_paused(engine, use)
        elif after is None:
            return
        else:
            _while_awake(engine, use, after)


def _while_paused(engine: Engine, use: Use) -> None:
    names, before = use.names, None
    with suppress(OSError, ValueError):  # damaged counts: then it is woken
        before = UseCounts.read(names.paused)
    while names.paused.exists():
        now = use.read()
        if before is None or now.is_used(before):
            log.info("resumes: %s, was %s", now, before)
            if Holder.read(names.home.lock(names.name)):  # a command wakes it, or has paused it for a snapshot
                time.sleep(WATCHING)
            else:
                wake(engine, names)
            return
        before = now
        if not now.healthy:  # a new process of the edge checks the nodes again
            use.trust_servers(healthy=True)
        time.sleep(WATCHING)


def _while_awake(engine: Engine, use: Use, after: float) -> None:
    names, before, last_use = use.names, use.read(), time.monotonic()
    while names.folder.exists() and not names.paused.exists():
        time.sleep(RESTING)
        now = use.read()
        if now.open or now.api or now.is_used(before):
            last_use = time.monotonic()
        before = now
        if time.monotonic() - last_use >= after:
            log.info("pauses: not used for %.0f s", after)
            with (
                suppress(Busy),
                Session(patience=0.0).alone(names.name, "pause"),
                awake_on_failure(engine, names),
            ):
                pause(engine, names)
            last_use = time.monotonic()


def main() -> None:
    logging.basicConfig(format="%(asctime)s %(message)s", level=logging.INFO)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    os.chdir("/")
    os.umask(0o077)
    name, *after = sys.argv[1:]
    try:
        follow(Engine.connect(), context.home().sandbox(name), float(after[0]) if after else None)
    except SandboxError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
