"""Connections to a server of this machine by http.client, kept alive for the next request of any thread.

urllib3 does the same and more; to import it takes as long as thirty requests.
"""

from __future__ import annotations

import http.client
import select
import ssl
import threading
import time
import weakref
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from urllib.parse import urlsplit

# A server that is held still meanwhile says nothing on a connection that it has; for a new one it is woken.
IDLE = 4.0  # seconds


class LocalServer:
    """A server by its URL, whose path comes before every request's; `tls` checks it where it speaks HTTPS."""

    def __init__(self, url: str, tls: ssl.SSLContext | None, timeout: float) -> None:
        self.tls = tls
        self._place = urlsplit(url)
        self._timeout = timeout
        self._idle: list[tuple[float, http.client.HTTPConnection]] = []
        self._lock = threading.Lock()
        weakref.finalize(self, _close, self._idle)

    def request(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes | str | None
    ) -> tuple[int, bytes]:
        """Return status and content of the answer. Raises OSError, HTTPException."""
        connection = self._taken()
        try:
            connection.request(method, self._place.path + path, body or None, headers)
            answer = connection.getresponse()
            content = answer.read()
        except BaseException:
            connection.close()
            raise
        with self._lock:
            self._idle.append((time.monotonic(), connection))
        return answer.status, content

    @contextmanager
    def stream(self, path: str, headers: Mapping[str, str]) -> Iterator[http.client.HTTPResponse]:
        """Yield an answer that may go on for ever, on a connection of its own. Raises OSError, HTTPException."""
        connection = self._new()
        try:
            connection.connect()
            connection.sock.settimeout(None)
            connection.request("GET", self._place.path + path, headers=headers)
            with connection.getresponse() as answer:
                yield answer
        finally:
            connection.close()

    def _taken(self) -> http.client.HTTPConnection:
        while True:
            with self._lock:
                last = self._idle.pop() if self._idle else None
            if last is None:
                return self._new()
            since, connection = last
            if time.monotonic() - since < IDLE and _is_usable(connection):
                return connection
            connection.close()

    def _new(self) -> http.client.HTTPConnection:
        host, port = self._place.hostname or "", self._place.port
        if self.tls is None:
            return http.client.HTTPConnection(host, port, timeout=self._timeout)
        return http.client.HTTPSConnection(host, port, timeout=self._timeout, context=self.tls)


def _is_usable(connection: http.client.HTTPConnection) -> bool:
    """Tell whether the server has not closed an idle connection, nor said anything on it."""
    if connection.sock is None:
        return False
    waiting = select.poll()
    waiting.register(connection.sock, select.POLLIN)
    return not waiting.poll(0)


def _close(idle: list[tuple[float, http.client.HTTPConnection]]) -> None:
    for _, connection in idle:
        connection.close()
