"""Reserves ports that a command has chosen but not opened yet: of two commands, each gets its own.

A claim is a locked file: it ends with the process that made it, however that ends. Commands with another state folder,
such as other users', know it by the name of a socket, which the kernel gives to one process only.
"""

from __future__ import annotations

import errno
import pwd
import socket
import struct
import sys
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from sandbox.errors import SandboxError
from sandbox.system import files

PATIENCE = 5.0  # seconds; others hold the lock only for a moment
ASKED = 128  # how many commands may ask who is about to open a port
PREFIX = "\0sandbox-port-"  # a name of no file (unix(7), abstract), which all users of the machine see


class Contended(SandboxError):
    """A command with another state folder claimed the port a moment ago."""

    id = "port-in-use"


@contextmanager
def hold(folder: Path, name: str, wanted: Iterable[tuple[str, int]]) -> Iterator[None]:
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


def claimant(folder: Path, port: int, owner: str) -> str | None:
    """Return the sandbox for which another owner has claimed the port, or None.

    Sandboxes may share a port of the same owner.
    """
    for path in folder.glob(f"{port}.*"):
        _, theirs, name = path.name.split(".")
        if theirs != owner and _is_held(path):
            return name
    return None


def promised_to(folder: Path, port: int) -> str | None:
    """Return a description of the command with another state folder that is about to open the port, or None."""
    # In this order: a command with this folder that ends meanwhile gives up the name first.
    return None if _is_claimed(folder, port) else _announcer(port)


def _announcer(port: int) -> str | None:
    """Return a description of the process that reserves the port, or None if no process does.

    The kernel names the process that listens on the reservation's socket (unix(7), SO_PEERCRED).
    """
    if sys.platform != "linux":
        return None
    pid, uid = 0, None
    with _socket() as probe:
        probe.setblocking(False)
        try:
            probe.connect(f"{PREFIX}{port}")
            pid, uid, _ = struct.unpack("3i", probe.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
        except BlockingIOError:  # too many others ask
            pass
        except OSError:
            return None
    process = f" (pid {pid})" if pid else ""  # none in another container
    whose = "another user or state folder" if uid is None else f"user {_user(uid)}, with another state folder"
    return f"a sandbox of {whose}, which is starting{process}"


def _user(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _announce(named: socket.socket, port: int, *, shared: bool) -> None:
    """Give the socket the port's name, which another command may have if it is `shared`. Raises Contended."""
    if sys.platform != "linux":
        return
    try:
        named.bind(f"{PREFIX}{port}")
        named.listen(ASKED)
    except OSError as error:
        if error.errno == errno.EADDRINUSE and not shared:
            who = _announcer(port) or "a command that has just ended"
            raise Contended(
                f"port {port} is taken",
                details=f"held by {who}; nothing was changed",
                fix="wait for it, then run the command again; or choose another port: `auto` takes a free one",
            ) from error


def _socket() -> socket.socket:
    return socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)


def _file(port: int, owner: str, name: str) -> str:
    return f"{port}.{owner}.{name}"  # none of the three has a dot


def _is_claimed(folder: Path, port: int) -> bool:
    return any(map(_is_held, folder.glob(f"{port}.*")))


def _is_held(path: Path) -> bool:
    from filelock import FileLock, Timeout

    lock = FileLock(path, timeout=0, mode=0o600)
    try:
        with lock:
            return False
    except Timeout:
        return True
