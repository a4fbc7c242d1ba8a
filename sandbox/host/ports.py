"""Whether a TCP port of this machine is free, and who holds it, so that a clash is named before anything is made."""

from __future__ import annotations

import errno
import socket
from functools import partial
from itertools import chain
from pathlib import Path


def is_free(address: str, port: int) -> bool:
    """Whether a listener could be bound there now; a port that only our privileges forbid counts as free."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
            probe.listen(1)
        except OSError as error:
            return error.errno != errno.EADDRINUSE
        return True


def next_free(address: str, port: int) -> int:
    """The first free port after `port`, among the unprivileged ones; the lower ones come after the highest."""
    first = max(port + 1, 8444 if port < 1024 else port + 1)
    candidates = chain(range(first, 65536), range(1024, first))
    return next(filter(partial(is_free, address), candidates))


def holder(port: int) -> str | None:
    """The process that listens on `port`, as `name (pid N)`, as far as this user may see it (Linux)."""
    inodes = _listeners(port)
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if any(_link(fd) in inodes for fd in (process / "fd").iterdir()):
                return f"{process.joinpath('comm').read_text().strip()} (pid {process.name})"
        except OSError:
            continue
    return None


def _link(descriptor: Path) -> str:
    try:
        return str(descriptor.readlink())
    except OSError:
        return ""  # closed meanwhile


def _listeners(port: int) -> frozenset[str]:
    """The socket inodes, as `socket:[N]`, that listen on `port` (proc_net_tcp in the kernel's documentation)."""
    found = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        try:
            lines = Path(table).read_text().splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            fields = line.split()
            if fields[3] == "0A" and int(fields[1].rsplit(":", 1)[1], 16) == port:
                found.add(f"socket:[{fields[9]}]")
    return frozenset(found)
