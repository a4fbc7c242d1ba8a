"""Servers of tests: their handlers write no log, and they stop as soon as they are told to."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer
from typing import TypeVar

Server = TypeVar("Server", bound=TCPServer)


class Handler(BaseHTTPRequestHandler):
    def reply(self, status: int, content: bytes = b"", headers: Mapping[str, str] = {}) -> None:
        """Answer with `content`, whose length is told, and further headers."""
        self.send_response(status)
        for name, value in {"Content-Length": str(len(content)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def serving(server: Server, tls: ssl.SSLContext | None = None) -> Iterator[Server]:
    """For the length of the block `server` answers, by TLS if a context is given; it is closed afterwards."""
    with server:
        if tls:
            server.socket = tls.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def answering(
    handler: type[BaseHTTPRequestHandler], tls: ssl.SSLContext | None = None
) -> Iterator[ThreadingHTTPServer]:
    """For the length of the block `handler` answers on a free port of 127.0.0.1."""
    with serving(ThreadingHTTPServer(("127.0.0.1", 0), handler), tls) as server:
        yield server
