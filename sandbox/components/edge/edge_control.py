"""The connection to a running edge's admin socket: a file, or a port where the engine's folders are elsewhere.

A socket does not work in a folder that is shared with a virtual machine. There HAProxy serves its socket by TLS, to the
one client that shows the same certificate as HAProxy itself.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path

from sandbox.components.edge import haproxy
from sandbox.components.edge.haproxy_admin import Control
from sandbox.components.network.socket_handover import LAST
from sandbox.engine import Bind, Container
from sandbox.system import files, host_network

LOCAL, FIRST = "127.0.0.1", 20000


def of(folder: Path, find: Callable[[], Container | None]) -> Control:
    """Return the connection to an edge with these files; `find` returns its container, for the port it may have."""
    pair = folder / haproxy.CONTROL_KEY
    if pair.exists() and (found := find()):
        return Control(pair, next(iter(found.published.get(haproxy.CONTROL_PORT, ())), None))
    return Control(folder / "run" / haproxy.SOCKET)


def through_port(folder: Path, *, wanted: bool) -> Mapping[int, tuple[Bind, ...]]:
    """Make the certificate for a connection by a port if `wanted`, else remove it; return the port to publish."""
    pair = folder / haproxy.CONTROL_KEY
    if not wanted:
        pair.unlink(missing_ok=True)
        return {}
    from sandbox.components.certificates.authority import make_self_signed

    made = make_self_signed(haproxy.CONTROL_HOST, now=datetime.now(UTC))
    files.make_private_dir(pair.parent)
    files.write_atomic(pair, made.key_pem + made.cert_pem, mode=0o600)
    port = FIRST + secrets.randbelow(LAST - FIRST)
    free = port if host_network.is_free(LOCAL, port) else host_network.next_free(LOCAL, port)
    return {haproxy.CONTROL_PORT: (Bind(LOCAL, free),)}
