"""Removes files that belong to no sandbox any more, after one was removed: locks, claims, the edge's folder."""

import shutil
from contextlib import suppress
from pathlib import Path

from sandbox.app.edge import ports
from sandbox.components.edge import routes
from sandbox.errors import SandboxError
from sandbox.names import Home
from sandbox.system import files, sandbox_lock
from sandbox.system.sandbox_lock import Busy


def sweep(home: Home, name: str) -> None:
    """Forget the sandbox `name`, whose lock is held; after the last one, only the log and snapshots stay."""
    ports.sweep(home.claims)
    lock = home.lock(name)
    if not _is_any_left(home):
        for folder in filter(Path.is_dir, (home.edge, home.forwards, home.networks)):
            with suppress(SandboxError), files.exclusive(folder, seconds=0):
                if not _is_any_left(home):
                    shutil.rmtree(folder, ignore_errors=True)
        shutil.rmtree(home.agreed, ignore_errors=True)
    for each in filter(Path.is_dir, (lock / "registry", lock / "dev")):
        with suppress(Busy), sandbox_lock.take(each, "sandbox down", seconds=0, waits=lambda _: None):
            sandbox_lock.forget(each)
    sandbox_lock.forget(lock)


def _is_any_left(home: Home) -> bool:
    if routes.load(home.edge):
        return True
    for folder in (home.sandboxes, home.state / "certificates", home.claims):
        with suppress(FileNotFoundError):  # another `down` may be removing it
            if any(folder.iterdir()):
                return True
    return False
