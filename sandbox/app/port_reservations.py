"""Reserves ports that a command has chosen but not opened yet: of two commands, each gets its own.

A claim is a locked file: it ends with the process that made it, however that ends.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from sandbox.system import files

PATIENCE = 5.0  # seconds; others hold the lock only for a moment


@contextmanager
def hold(folder: Path, name: str, wanted: Iterable[tuple[str, int]]) -> Iterator[None]:
    """Claim ports, each for an owner, for the sandbox `name` during the block."""
    from filelock import FileLock

    files.make_private_dir(folder)
    sweep(folder)
    with ExitStack() as stack:
        for owner, port in wanted:
            path = folder / _file(port, owner, name)
            stack.callback(path.unlink, missing_ok=True)
            stack.enter_context(FileLock(path, timeout=PATIENCE, mode=0o600))
        yield


def sweep(folder: Path) -> None:
    """Remove the claims of commands that were killed."""
    from filelock import FileLock, Timeout

    for path in folder.glob("*.*.*"):
        with suppress(Timeout), FileLock(path, timeout=0, mode=0o600):
            path.unlink(missing_ok=True)


def claimant(folder: Path, port: int, owner: str) -> str | None:
    """Return the sandbox for which another owner has claimed the port, or None.

    Sandboxes may share a port of the same owner.
    """
    for path in folder.glob(f"{port}.*"):
        _, theirs, name = path.name.split(".")
        if theirs != owner and _is_held(path):
            return name
    return None


def _file(port: int, owner: str, name: str) -> str:
    return f"{port}.{owner}.{name}"  # neither of the two has a dot


def _is_held(path: Path) -> bool:
    from filelock import FileLock, Timeout

    lock = FileLock(path, timeout=0, mode=0o600)
    try:
        with lock:
            return False
    except Timeout:
        return True
