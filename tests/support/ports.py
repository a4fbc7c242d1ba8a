"""TCP ports for tests."""

from __future__ import annotations

import socket


def free_port() -> int:
    """A port of 127.0.0.1 that no process listens on now; the kernel does not give the same one twice in a row."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
