"""Connections to a server of this machine, kept alive for the next request of any thread.

urllib3 does the same and more; importing it takes as long as thirty requests, and http.client as long as ten.
"""

from __future__ import annotations

import select
import socket
import ssl
import threading
import time
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from urllib.parse import SplitResult, urlsplit

from sandbox.system import http_wire
from sandbox.system.http_wire import Head

# A paused server sends nothing on an open connection; a new connection wakes it.
IDLE = 4.0  # seconds
# A server that works for long on an answer still accepts connections: only one that stands still does not.
OPENING = 3.0  # seconds
PIECE = 1 << 20
# To open a connection takes both sides as long as several answers. So requests that come at once share a few, but none
# waits longer than this for those before it, which may be slow.
FEW = 4
TURN = 0.1  # seconds


class LocalServer:
    """A server by its URL, whose path is a prefix of every request's; `tls` verifies it if it uses HTTPS."""

    def __init__(self, url: str, tls: ssl.SSLContext | None, timeout: float) -> None:
        self.tls = tls
        self._place = urlsplit(url)
        self._timeout = timeout
        self._idle: list[tuple[float, _Connection]] = []
        self._lock = threading.Lock()
        self._turns = threading.Semaphore(FEW)
        weakref.finalize(self, _close, self._idle)

    def request(self, method: str, path: str, headers: Mapping[str, str], body: bytes | None) -> tuple[int, bytes]:
        """Return status and content of the answer. Raises OSError."""
        has_turn = self._turns.acquire(timeout=TURN)
        try:
            return self._request(method, path, headers, body)
        finally:
            if has_turn:
                self._turns.release()

    def _request(self, method: str, path: str, headers: Mapping[str, str], body: bytes | None) -> tuple[int, bytes]:
        connection = self._taken()
        try:
            head = connection.ask(method, path, headers, body or None)
            content = http_wire.whole(connection.body(method, head))
        except BaseException:
            connection.close()
            raise
        self._give_back(connection, usable=head.persistent and http_wire.has_end(method, head))
        return head.status, content

    def ask_all(
        self, asked: Iterable[tuple[str, Mapping[str, str]]], until: Callable[[], object] = lambda: None
    ) -> Iterator[tuple[int, bytes]]:
        """Yield the answers to GET requests, each of a path with headers, which are sent at once (RFC 9112, 9.3.2).

        They are read once `until` returns. There are fewer answers than requests where the server ends the connection
        after one. Raises OSError.
        """
        connection, is_whole = self._taken(), False
        try:
            sent = connection.send(("GET", path, headers, None) for path, headers in asked)
            until()
            for _ in range(sent):
                head = connection.head()
                yield head.status, http_wire.whole(connection.body("GET", head))
                if not head.persistent or not http_wire.has_end("GET", head):
                    return
            is_whole = True
        finally:
            self._give_back(connection, usable=is_whole)

    @contextmanager
    def stream(self, path: str, headers: Mapping[str, str]) -> Iterator[tuple[int, Iterator[bytes]]]:
        """Yield the status of an answer that may never end, and its pieces as they come. Raises OSError.

        It uses a connection of its own.
        """
        connection = _Connection(self._place, self.tls, self._timeout)
        try:
            connection.socket.settimeout(None)
            head = connection.ask("GET", path, headers, None)
            yield head.status, connection.body("GET", head)
        finally:
            connection.close()

    def _give_back(self, connection: _Connection, *, usable: bool) -> None:
        """Keep a connection for the next request if it is usable, else close it."""
        if usable:
            with self._lock:
                self._idle.append((time.monotonic(), connection))
        else:
            connection.close()

    def _taken(self) -> _Connection:
        while True:
            with self._lock:
                last = self._idle.pop() if self._idle else None
            if last is None:
                return _Connection(self._place, self.tls, self._timeout)
            since, connection = last
            if time.monotonic() - since < IDLE and connection.is_usable:
                return connection
            connection.close()


class _Connection:
    """A connection, for one request at a time; all its errors are OSErrors."""

    def __init__(self, place: SplitResult, tls: ssl.SSLContext | None, timeout: float) -> None:
        host = place.hostname or ""
        self._place = place
        self.socket = socket.create_connection((host, place.port or (443 if tls else 80)), min(timeout, OPENING))
        try:
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if tls:
                self.socket = tls.wrap_socket(self.socket, server_hostname=host)
            self.socket.settimeout(timeout)
        except BaseException:
            self.socket.close()
            raise
        self._answers = self.socket.makefile("rb")

    @property
    def is_usable(self) -> bool:
        """Tell whether the server has neither closed the idle connection nor sent anything on it."""
        waiting = select.poll()
        waiting.register(self.socket, select.POLLIN)
        return not waiting.poll(0)

    def ask(self, method: str, path: str, headers: Mapping[str, str], body: bytes | None) -> Head:
        """Send a request and read the head of its answer."""
        self.send([(method, path, headers, body)])
        return self.head()

    def send(self, requests: Iterable[tuple[str, str, Mapping[str, str], bytes | None]]) -> int:
        """Send requests at once, each a method, a path, headers and a body; returns how many."""
        sent = [self._request(*one) for one in requests]
        self.socket.sendall(b"".join(sent))
        return len(sent)

    def head(self) -> Head:
        """Read the head of the next answer."""
        return http_wire.read_head(self._answers)

    def _request(self, method: str, path: str, headers: Mapping[str, str], body: bytes | None) -> bytes:
        named = {"Host": self._place.netloc.rpartition("@")[2], **headers}
        if body is not None or method != "GET":
            named["Content-Length"] = str(len(body or b""))
        return http_wire.request(method, self._place.path + path, named) + (body or b"")

    def body(self, method: str, head: Head) -> Iterator[bytes]:
        """Yield the rest of the answer to the last request."""
        return http_wire.read_body(self._answers, method, head, PIECE)

    def close(self) -> None:
        self._answers.close()
        self.socket.close()


def _close(idle: list[tuple[float, _Connection]]) -> None:
    for _, connection in idle:
        connection.close()
