"""The plainest forwarder there can be: bytes moved by the kernel from one socket to another, what no proxy can beat."""

from __future__ import annotations

import os
import socket
import threading
from typing import Self

AT_ONCE = 1 << 20


class Forwarder:
    """While it is entered, a free port of 127.0.0.1 leads to `host:port` by `splice(2)`, in this process."""

    def __init__(self, place: str) -> None:
        host, _, port = place.partition(":")
        self._target = (host, int(port))
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.place = "{}:{}".format(*self._listener.getsockname())

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.create_connection(self._target)
            for source, sink in ((client, server), (server, client)):
                source.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                threading.Thread(target=_move, args=(source, sink), daemon=True).start()


def _move(source: socket.socket, sink: socket.socket) -> None:
    """Move all there is, until an end is closed."""
    out, into = os.pipe()
    try:
        while count := os.splice(source.fileno(), into, AT_ONCE):
            while count:
                count -= os.splice(out, sink.fileno(), count)
        sink.shutdown(socket.SHUT_WR)
    except OSError:
        source.close()
        sink.close()
    finally:
        os.close(out)
        os.close(into)
