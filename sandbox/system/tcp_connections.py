"""Open TCP connections of this machine to a port, from the kernel by sock_diag(7).

This takes a tenth of the time of the tables in /proc/net, because the kernel filters before it writes anything. Where
it does not answer, the tables are used.
"""

from __future__ import annotations

import os
import socket
import struct
import sys
from collections.abc import Iterator
from pathlib import Path

TABLES = (Path("/proc/net/tcp"), Path("/proc/net/tcp6"))
ESTABLISHED = 1  # linux, include/net/tcp_states.h
TIMEOUT = 5.0

# linux, include/uapi/linux/netlink.h, sock_diag.h and inet_diag.h
_SOCK_DIAG = 4
_BY_FAMILY = 20
_REQUEST_DUMP = 0x301
_ERROR, _DONE = 2, 3
_BYTECODE = 1
_AT_LEAST, _AT_MOST = 4, 5  # of the port at the far end
_HEADER = struct.Struct("=IHHII")
_ENDS = slice(20, 56)  # of an answer: ports and addresses of both ends


def to_port(port: int) -> frozenset[str]:
    """Return the established connections whose far end is at `port`, each by its ends; none where that is unknown."""
    try:
        return frozenset(found for family in (socket.AF_INET, socket.AF_INET6) for found in _asked(family, port))
    except OSError:
        return frozenset(_listed(port))


def _asked(family: int, port: int) -> Iterator[str]:
    """Yield the kernel's answer. Raises OSError."""
    if sys.platform != "linux":
        return
    # Each test says how many bytes further the program continues if it holds and if not; beyond its end it has failed.
    tests = ((_AT_LEAST, 8, 20), (_AT_MOST, 8, 12))
    program = b"".join(struct.pack("=BBHBBH", *test, 0, 0, port) for test in tests)
    body = struct.pack("=BBBBI48x", family, socket.IPPROTO_TCP, 0, 0, 1 << ESTABLISHED)
    body += struct.pack("=HH", 4 + len(program), _BYTECODE) + program
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _SOCK_DIAG) as kernel:
        kernel.settimeout(TIMEOUT)
        kernel.send(_HEADER.pack(_HEADER.size + len(body), _BY_FAMILY, _REQUEST_DUMP, 1, 0) + body)
        while True:
            answers = kernel.recv(1 << 16)
            while answers:
                length, kind, *_ = _HEADER.unpack_from(answers)
                if kind == _DONE:
                    return
                if kind == _ERROR:
                    number = -struct.unpack_from("=i", answers, _HEADER.size)[0]
                    raise OSError(number, os.strerror(number))
                yield answers[:length][_ENDS].hex()
                answers = answers[(length + 3) & ~3 :]


def _listed(port: int) -> Iterator[str]:
    """Yield the connections in the tables."""
    end = f":{port:04X}"
    for table in TABLES:
        try:
            rows = [row.split() for row in table.read_text(encoding="utf-8").splitlines() if end in row]
        except OSError:
            continue
        yield from (
            near + far for _, near, far, state, *_ in rows if int(state, 16) == ESTABLISHED and far.endswith(end)
        )
