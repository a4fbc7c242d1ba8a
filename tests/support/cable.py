"""A port of the loopback that leads elsewhere, by TLS if asked for, and that can be cut in the middle of a body."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

LOCAL = "127.0.0.1"


@contextmanager
def forwarding(
    connect: Callable[[], socket.socket], tls: ssl.SSLContext | None = None, *, cuts: list[int] | None = None
) -> Iterator[int]:
    """Yield the port; each of `cuts` ends one connection after so many bytes of the client."""
    with socket.create_server((LOCAL, 0), backlog=128) as listener:
        threading.Thread(target=_accept, args=(listener, connect, tls, cuts or []), daemon=True).start()
        try:
            yield int(listener.getsockname()[1])
        finally:
            with suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)


def _accept(
    listener: socket.socket, connect: Callable[[], socket.socket], tls: ssl.SSLContext | None, cuts: list[int]
) -> None:
    while True:
        try:
            client, _ = listener.accept()
        except OSError:
            return
        threading.Thread(target=_carry, args=(client, connect, tls, cuts), daemon=True).start()


def _carry(
    client: socket.socket, connect: Callable[[], socket.socket], tls: ssl.SSLContext | None, cuts: list[int]
) -> None:
    with suppress(OSError), client, connect() as server:
        peer = tls.wrap_socket(client, server_side=True) if tls else client
        with peer:
            back = threading.Thread(target=_pump, args=(server, peer, []), daemon=True)
            back.start()
            _pump(peer, server, cuts)
            back.join()


def _pump(source: socket.socket, sink: socket.socket, cuts: list[int]) -> None:
    passed = 0
    with suppress(OSError):
        while data := source.recv(1 << 14):
            sink.sendall(data)
            passed += len(data)
            if cuts and passed >= cuts[0]:
                cuts.pop(0)
                source.shutdown(socket.SHUT_RDWR)
    with suppress(OSError):
        # What a client of TLS has ended it ends for both directions.
        sink.shutdown(socket.SHUT_RDWR if isinstance(sink, ssl.SSLSocket) else socket.SHUT_WR)
