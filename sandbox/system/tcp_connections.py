"""Open TCP connections to a port, from /proc/net/tcp: psutil would read the files of every process, too."""

from __future__ import annotations

from pathlib import Path

TABLES = (Path("/proc/net/tcp"), Path("/proc/net/tcp6"))
ESTABLISHED = "01"  # linux, include/net/tcp_states.h


def to_port(port: int) -> frozenset[str]:
    """Return the established connections whose remote port is `port`, each by its two ends in hexadecimal."""
    end = f":{port:04X}"
    rows = (
        line.split() for table in TABLES if table.exists() for line in table.read_text(encoding="utf-8").splitlines()
    )
    return frozenset(
        local + remote for _, local, remote, state, *_ in rows if state == ESTABLISHED and remote.endswith(end)
    )
