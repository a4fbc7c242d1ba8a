"""The engine's socket behind a port of the loopback address, in the clear or by TLS, as `tcp://` engines are."""

from __future__ import annotations

import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

LOCAL = "127.0.0.1"
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
    with socket.create_server((LOCAL, 0), backlog=128) as listener:
        threading.Thread(target=_accept, args=(listener, path, server), daemon=True).start()
        try:
            yield int(listener.getsockname()[1])
        finally:
            with suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)


def _accept(listener: socket.socket, path: str, server: ssl.SSLContext | None) -> None:
    while True:
        try:
            client, _ = listener.accept()
        except OSError:
            return
        threading.Thread(target=_carry, args=(client, path, server), daemon=True).start()


def _carry(client: socket.socket, path: str, server: ssl.SSLContext | None) -> None:
    with suppress(OSError), client, socket.socket(socket.AF_UNIX) as engine:
        peer = server.wrap_socket(client, server_side=True) if server else client
        with peer:
            engine.connect(path)
            back = threading.Thread(target=_pump, args=(engine, peer), daemon=True)
            back.start()
            _pump(peer, engine)
            back.join()


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(1 << 16):
            sink.sendall(data)
    with suppress(OSError):
        # What a client of TLS has ended it ends for both directions.
        sink.shutdown(socket.SHUT_RDWR if isinstance(sink, ssl.SSLSocket) else socket.SHUT_WR)
