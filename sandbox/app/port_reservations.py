"""Reserves ports that a command has chosen but not opened yet: of two commands, each gets its own.

A claim is a locked file: it ends with the process that made it, however that ends. Commands with another state folder,
such as other users', know it by the name of a socket, which the kernel gives to one process only.
"""

from __future__ import annotations

import errno
import socket
import sys
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from sandbox.errors import SandboxError
from sandbox.system import files

PATIENCE = 5.0  # seconds; others hold the lock only for a moment
PREFIX = "\0sandbox-port-"  # a name of no file (unix(7), abstract), which all users of the machine see
STARTING = "a sandbox of another user or state folder, which is starting"
Place = int | str
"""A TCP port, or one of another protocol as `PORT-PROTOCOL`."""


class Contended(SandboxError):
    """A command with another state folder claimed the port a moment ago."""

    id = "port-in-use"


@contextmanager
def hold(folder: Path, name: str, wanted: Iterable[tuple[str, Place]]) -> Iterator[None]:
    """Claim ports, each for an owner, for the sandbox `name` during the block. Raises Contended."""
    from filelock import FileLock

    files.make_private_dir(folder)
    sweep(folder)
    with ExitStack() as stack:
        for owner, port in wanted:
            path, shared = folder / _file(port, owner, name), _is_claimed(folder, port)
            stack.callback(path.unlink, missing_ok=True)
            stack.enter_context(FileLock(path, timeout=PATIENCE, mode=0o600))
            _announce(stack.enter_context(_socket()), port, shared=shared)
        yield


def sweep(folder: Path) -> None:
    """Remove the claims of commands that were killed."""
    from filelock import FileLock, Timeout

    for path in folder.glob("*.*.*"):
        with suppress(Timeout), FileLock(path, timeout=0, mode=0o600):
            path.unlink(missing_ok=True)


def claimant(folder: Path, port: Place, owner: str) -> str | None:
    """Return the sandbox for which another owner has claimed the port, or None.

    Sandboxes may share a port of the same owner.
    """
    for path in folder.glob(f"{port}.*"):
        _, theirs, name = path.name.split(".")
        if theirs != owner and _is_held(path):
            return name
    return None


def is_promised(folder: Path, port: Place) -> bool:
    """Tell whether a command with another state folder is about to open the port."""
    # In this order: a command with this folder that ends meanwhile gives up the name first.
    if sys.platform != "linux" or _is_claimed(folder, port):
        return False
    with _socket() as probe:
        try:
            probe.connect(f"{PREFIX}{port}")
        except OSError:
            return False
        return True


def _announce(named: socket.socket, port: Place, *, shared: bool) -> None:
    """Give the socket the port's name, which another command may have if it is `shared`. Raises Contended."""
    if sys.platform != "linux":
        return
    try:
        named.bind(f"{PREFIX}{port}")
    except OSError as error:
        if error.errno == errno.EADDRINUSE and not shared:
            raise Contended(
                f"port {port} is taken", details=f"held by {STARTING}; nothing was changed", fix="wait for it"
            ) from error


def _socket() -> socket.socket:
    return socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)


def _file(port: Place, owner: str, name: str) -> str:
    return f"{port}.{owner}.{name}"  # none of the three has a dot


def _is_claimed(folder: Path, port: Place) -> bool:
    return any(map(_is_held, folder.glob(f"{port}.*")))


def _is_held(path: Path) -> bool:
    from filelock import FileLock, Timeout

    lock = FileLock(path, timeout=0, mode=0o600)
    try:
        with lock:
            return False
    except Timeout:
        return True
