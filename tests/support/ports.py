"""TCP ports for tests."""

from __future__ import annotations

import socket
from contextlib import ExitStack

_given: set[int] = set()


def free_port() -> int:
    """A port of 127.0.0.1 that no process listens on now, and that this process has not been given before."""
    while (port := free_ports(1)[0]) in _given:
        continue
    _given.add(port)
    return port


def free_ports(count: int) -> tuple[int, ...]:
    """As many such ports, of which none is another."""
    with ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return tuple(probe.getsockname()[1] for probe in probes)
