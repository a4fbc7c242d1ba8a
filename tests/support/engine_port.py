"""The engine's socket behind a port of the loopback address, in the clear or by TLS, as `tcp://` engines are."""

from __future__ import annotations

import socket
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.cable import LOCAL, forwarding

__all__ = ["LOCAL", "behind_a_port", "certificate"]
DAYS = 2


def certificate(folder: Path) -> ssl.SSLContext:
    """Put ca.pem, cert.pem and key.pem into the folder, as docker wants them; a server that asks clients for theirs.

    One certificate is the authority, the server and the client.
    """
    key, cert = folder / "key.pem", folder / "cert.pem"
    names = ("-addext", f"subjectAltName=IP:{LOCAL},DNS:localhost", "-subj", "/CN=engine")
    made = ("-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", str(DAYS))
    subprocess.run(["openssl", "req", *made, *names, "-keyout", key, "-out", cert], check=True, capture_output=True)
    (folder / "ca.pem").write_bytes(cert.read_bytes())
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(cert, key)
    server.load_verify_locations(cert)
    server.verify_mode = ssl.CERT_REQUIRED
    return server


@contextmanager
def behind_a_port(path: str, server: ssl.SSLContext | None = None) -> Iterator[int]:
    """Yield a port that leads to the socket at `path`; with `server` it speaks TLS."""

    def connect() -> socket.socket:
        engine = socket.socket(socket.AF_UNIX)
        engine.connect(path)
        return engine

    with forwarding(connect, server) as port:
        yield port
