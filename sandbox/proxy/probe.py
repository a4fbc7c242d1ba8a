"""Asks a host through the edge as a client would: TLS checked against our root, then one HTTP request."""

from __future__ import annotations

import socket
import ssl
from dataclasses import dataclass
from pathlib import Path

TIMEOUT = 5.0


@dataclass(frozen=True)
class Answer:
    """What came back: the HTTP status, or why there was none."""

    status: int | None
    trouble: str = ""


def ask(host: str, *, address: str, port: int, root: Path) -> Answer:
    """Request `https://host/` at `address`:`port`, trusting only the certificate in the file `root`."""
    try:
        context = ssl.create_default_context(cafile=str(root))
        with (
            socket.create_connection((address, port), timeout=TIMEOUT) as plain,
            context.wrap_socket(plain, server_hostname=host) as connection,
        ):
            connection.sendall(f"GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
            line = connection.makefile("rb").readline().decode(errors="replace")
    except OSError as error:  # ssl's errors are OSErrors too
        return Answer(None, str(error))
    words = line.split()
    return Answer(int(words[1])) if len(words) > 1 and words[1].isdigit() else Answer(None, f"answered {line[:80]!r}")
