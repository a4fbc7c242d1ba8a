"""Removes files that belong to no sandbox any more, after one was removed: locks, claims, the edge's folder."""

from __future__ import annotations

import shutil
from contextlib import suppress
from pathlib import Path

from sandbox.app.edge import ports
from sandbox.components.edge import routes
from sandbox.errors import SandboxError
from sandbox.names import Home, Names
from sandbox.system import files, sandbox_lock
from sandbox.system.sandbox_lock import Busy


def sweep(home: Home, name: str) -> None:
    """Forget the sandbox `name`, whose lock is held; after the last one, only the log and snapshots stay."""
    ports.sweep(home.claims)
    if not _is_any_left(home):
        for folder in (home.edge, home.forwards, home.networks):
            _remove(home, folder)
        shutil.rmtree(home.agreed, ignore_errors=True)
        parents = (home.state / each for each in ("certificates", "mirrors", "charts"))
        for folder in (home.claims, home.sandboxes, *parents):
            files.remove_empty(folder)
        for other in sorted(home.lock(name).parent.iterdir()):  # of commands with a name that no sandbox got
            if other.name != name:
                _forget(other / "registry", other / "dev", other)
    lock = home.lock(name)
    _forget(lock / "registry", lock / "dev")
    sandbox_lock.forget(lock)


def _forget(*locks: Path) -> None:
    for lock in filter(Path.is_dir, locks):
        with suppress(Busy), sandbox_lock.take(lock, "sandbox down", seconds=0, waits=lambda _: None):
            sandbox_lock.forget(lock)


def forget_addons(names: Names) -> None:
    """Remove files of a sandbox that addons had; those that a command enabled are no step of the plan."""
    shutil.rmtree(names.addon_values, ignore_errors=True)
    files.remove_empty(names.folder)


def _is_any_left(home: Home) -> bool:
    folders = (home.sandboxes, home.state / "certificates", home.claims)
    return bool(routes.load(home.edge)) or any(map(_has_any, folders))


def _has_any(folder: Path) -> bool:
    """Tell whether anything is in a folder, which another `down` may be removing."""
    try:
        return any(folder.iterdir())
    except FileNotFoundError:
        return False


def _remove(home: Home, folder: Path) -> None:
    """Remove a folder that commands lock, unless one is using it right now."""
    if not folder.is_dir():
        return
    with suppress(SandboxError), files.exclusive(folder, seconds=0):
        if not _is_any_left(home):
            shutil.rmtree(folder, ignore_errors=True)
