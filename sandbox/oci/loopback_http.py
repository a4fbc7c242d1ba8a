"""Plain HTTP to servers on this machine: kept-alive connections, and large bodies on the shortest way.

A container's port on the loopback is a process of the engine, or a frontend, that passes on every byte. For large
bodies there may be a way around it: see `lead`.
"""

from __future__ import annotations

import contextlib
import errno
import http.client
import select
import socket
import threading
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sized
from urllib.parse import quote, urlencode, urlsplit

from sandbox.fast_dataclass import dataclass
from sandbox.oci import guarded_sockets
from sandbox.oci.address import Address
from sandbox.oci.guarded_sockets import CONNECT_TIMEOUT, Guard, PacedAnswer
from sandbox.oci.http_response import Body, Broken, Response

SHORTCUT_TIMEOUT = 1.0
# A server that refuses a body closes before it has read it; what it said can still be read.
_REFUSED_ON_THE_WAY = (errno.EPIPE, errno.ECONNRESET)
# What an upload's URL may hold that is passed on as it is, as requests has it.
_SAFE = "!#$%&'()*+,/:;=?@[]~"


@dataclass(frozen=True)
class Shortcut:
    """Where a server listens itself, on a network of which this machine has the address `near`."""

    host: str
    port: int
    near: str

    def connect(self) -> socket.socket:
        """Connect from the address `near`, and so only if it is this machine's own. Raises OSError."""
        return socket.create_connection((self.host, self.port), SHORTCUT_TIMEOUT, (self.near, 0))


class LoopbackHttp:
    """Connections that any thread takes and gives back; redirects and limits are the caller's."""

    def __init__(self, guard: Guard) -> None:
        self._guard = guard
        self._lock = threading.Lock()
        self._idle: dict[Address, list[_Connection]] = defaultdict(list)
        self._shortcuts: dict[Address, Shortcut] = {}
        self._over = False

    def close(self) -> None:
        """Close every connection, those in use once they are given back."""
        self._over = True
        self._drop()

    def _drop(self) -> None:
        with self._lock:
            idle, self._idle = self._idle, defaultdict(list)
        for connection in (one for ones in idle.values() for one in ones):
            connection.close()

    def lead(self, place: Address, shortcut: Shortcut) -> None:
        """Let new connections for `place` go by a shortcut; requests and answers stay the same."""
        with self._lock:
            self._shortcuts[place] = shortcut
        self._drop()

    def send(self, method: str, place: Address, url: str, headers: Mapping[str, str], data: Body) -> Response:
        """Return the answer to one request for `url`, which is at `place`; its body is unread. Raises Broken."""
        connection = self._taken(place)
        try:
            with _translated():
                answer = connection.ask(method, url, headers, data)
        except BaseException as error:
            connection.close()
            if isinstance(error, Broken):
                self._shortcuts.pop(place, None)  # whatever is wrong, the next try goes the usual way
            raise
        named: dict[str, str] = {}
        for name, text in answer.getheaders():
            known = named.get(name.lower())
            named[name.lower()] = f"{known}, {text}" if known else text

        held = [connection]  # until it is given back, or closed: then another request may have it

        def close() -> None:
            if held:
                answer.close()
                held.pop().close()

        def read(size: int) -> Iterator[bytes]:
            try:
                with _translated():
                    yield from _pieces(answer, size)
            except BaseException:
                close()
                raise
            if held:
                self._given_back(place, held.pop())

        return Response(answer.status, url, named, read, close)

    def _taken(self, place: Address) -> _Connection:
        while True:
            with self._lock:
                connection = self._idle[place].pop() if self._idle[place] else None
                shortcut = self._shortcuts.get(place)
            if connection is None:
                return _Connection(place, self._guard, shortcut)
            if connection.is_usable:
                return connection
            connection.close()

    def _given_back(self, place: Address, connection: _Connection) -> None:
        with self._lock:
            wanted = not self._over and connection.shortcut == self._shortcuts.get(place)
            if wanted and connection.sock and not connection.is_spent:
                self._idle[place].append(connection)
                return
        connection.close()


class _Connection(http.client.HTTPConnection):
    """A connection that asks its guard, and whose answers are paced."""

    response_class = PacedAnswer

    def __init__(self, place: Address, guard: Guard, shortcut: Shortcut | None) -> None:
        super().__init__(place.host, place.port)
        self._guard = guard
        self.shortcut = shortcut
        self.is_spent = False

    def connect(self) -> None:
        """See HTTPConnection. Raises OSError, RegistryError."""
        if self.shortcut:
            self.sock = self.shortcut.connect()
        else:
            self.sock = socket.create_connection((self.host, self.port), CONNECT_TIMEOUT)
            self._guard.admit(self.host, self.sock)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock.settimeout(guarded_sockets.PATIENCE)

    @property
    def is_usable(self) -> bool:
        """Tell whether the server has not closed an idle connection, nor said anything on it."""
        if self.sock is None:
            return False
        waiting = select.poll()
        waiting.register(self.sock, select.POLLIN)
        return not waiting.poll(0)

    def ask(self, method: str, url: str, headers: Mapping[str, str], data: Body) -> http.client.HTTPResponse:
        """Send a request and read the head of its answer. Raises OSError, HTTPException."""
        named = dict(headers)
        if isinstance(data, Mapping):
            named["Content-Type"] = "application/x-www-form-urlencoded"
            data = urlencode(data).encode()
        if isinstance(data, Sized):
            named["Content-Length"] = str(len(data))
        elif data is not None:
            named["Transfer-Encoding"] = "chunked"
        parts = urlsplit(url)
        target = quote(parts.path or "/", _SAFE) + (f"?{quote(parts.query, _SAFE)}" if parts.query else "")
        try:
            self.request(method, target, data, named, encode_chunked="Transfer-Encoding" in named)
        except OSError as error:
            if error.errno not in _REFUSED_ON_THE_WAY or self.sock is None:
                raise
            self.is_spent = True  # the rest of the body would be taken for a request
        return self.getresponse()


def _pieces(answer: http.client.HTTPResponse, size: int) -> Iterator[bytes]:
    while piece := answer.read(size):
        yield piece
    if answer.length:
        raise http.client.IncompleteRead(b"", answer.length)


@contextlib.contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except http.client.InvalidURL as error:
        raise Broken(str(error)) from error
    except (OSError, http.client.HTTPException) as error:
        raise Broken(str(error), passing=True) from error
