"""Plain HTTP to servers on this machine: kept-alive connections, and large bodies on the shortest path.

A container's port on the loopback is a process of the engine, or a frontend, that passes on every byte. Large bodies
may bypass it: see `lead`.
"""

from __future__ import annotations

import contextlib
import errno
import io
import select
import socket
import threading
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sized
from dataclasses import dataclass
from typing import BinaryIO
from urllib.parse import quote, urlencode, urlsplit

from sandbox.oci import guarded_sockets
from sandbox.oci.address import Address
from sandbox.oci.guarded_sockets import CONNECT_TIMEOUT, Guard, Paced
from sandbox.oci.http_response import Body, Broken, Response
from sandbox.system import http_wire
from sandbox.system.http_wire import Head

SHORTCUT_TIMEOUT = 1.0
# Seconds for an answer to these to begin: what is frozen accepts connections, and says nothing.
QUESTIONS, FIRST_WORD = ("GET", "HEAD"), 60.0
# A server that refuses a body closes before it has read it; its answer can still be read.
_REFUSED_ON_THE_WAY = (errno.EPIPE, errno.ECONNRESET)
# Characters of an upload's URL that are sent unchanged, as by requests.
_SAFE = "!#$%&'()*+,/:;=?@[]~"


@dataclass(frozen=True)
class Shortcut:
    """The address where a server itself listens, on a network in which this machine has the address `near`."""

    host: str
    port: int
    near: str

    def connect(self) -> socket.socket:
        """Connect from the address `near`, and so only if it is this machine's own. Raises OSError."""
        return socket.create_connection((self.host, self.port), SHORTCUT_TIMEOUT, (self.near, 0))


class LoopbackHttp:
    """Connections that any thread takes and gives back; redirects and limits are up to the caller."""

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
        """Have new connections for `place` use a shortcut; requests and answers stay the same."""
        with self._lock:
            self._shortcuts[place] = shortcut
        self._drop()

    def send(self, method: str, place: Address, url: str, headers: Mapping[str, str], data: Body) -> Response:
        """Return the answer to one request for `url`, which is at `place`; its body is unread. Raises Broken."""
        try:
            with _translated():
                connection, head = self._asked(method, place, url, headers, data)
        except Broken:
            self._shortcuts.pop(place, None)  # whatever is wrong, the next try takes the usual path
            raise

        held = [connection]  # until it is given back, or closed: then another request may use it

        def close() -> None:
            if held:
                held.pop().close()

        def read(size: int) -> Iterator[bytes]:
            try:
                with _translated():
                    yield from connection.body(method, head, size)
            except BaseException:
                close()
                raise
            if held:
                self._given_back(place, held.pop())

        return Response(head.status, url, head.headers, read, close)

    def _asked(
        self, method: str, place: Address, url: str, headers: Mapping[str, str], data: Body
    ) -> tuple[_Connection, Head]:
        connection = self._taken(place)
        try:
            return connection, connection.ask(method, url, headers, data)
        except BaseException:
            connection.close()
            raise

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
            if wanted and not connection.is_spent:
                self._idle[place].append(connection)
                return
        connection.close()


class _Connection:
    """A connection that asks its guard, and whose answers must come in time. Raises OSError, RegistryError."""

    def __init__(self, place: Address, guard: Guard, shortcut: Shortcut | None) -> None:
        self.shortcut = shortcut
        self.is_spent = False
        self._place = place
        if shortcut:
            self._socket = shortcut.connect()
        else:
            self._socket = socket.create_connection((place.host, place.port), CONNECT_TIMEOUT)
        try:
            if not shortcut:
                guard.admit(place.host, self._socket)
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._socket.settimeout(guarded_sockets.PATIENCE)
        except BaseException:
            self._socket.close()
            raise
        self._answer: BinaryIO = io.BytesIO()

    def close(self) -> None:
        """Close it, whatever was still to be read."""
        self._answer.close()
        self._socket.close()

    @property
    def is_usable(self) -> bool:
        """Tell whether the server has neither closed the idle connection nor sent anything on it."""
        waiting = select.poll()
        waiting.register(self._socket, select.POLLIN)
        return not waiting.poll(0)

    def ask(self, method: str, url: str, headers: Mapping[str, str], data: Body) -> Head:
        """Send a request and read the head of its answer. Raises OSError, ValueError."""
        named = {"Host": self._place.netloc, **headers}
        if isinstance(data, Mapping):
            named["Content-Type"] = "application/x-www-form-urlencoded"
            data = urlencode(data).encode()
        if isinstance(data, Sized):
            named["Content-Length"] = str(len(data))
        elif data is not None:
            named["Transfer-Encoding"] = "chunked"
        elif method in ("POST", "PUT", "PATCH"):
            named["Content-Length"] = "0"
        parts = urlsplit(url)
        target = quote(parts.path or "/", _SAFE) + (f"?{quote(parts.query, _SAFE)}" if parts.query else "")
        try:
            self._send(http_wire.request(method, target, named), data)
        except OSError as error:
            if error.errno not in _REFUSED_ON_THE_WAY:
                raise
            self.is_spent = True  # the rest of the body would be taken for a request
        head = self._head(is_question=method in QUESTIONS and not self.shortcut)
        self.is_spent |= not head.persistent or not http_wire.has_end(method, head)
        self.is_spent |= data is not None and head.status >= 400  # who refuses a body may close, and not say so
        return head

    def _head(self, *, is_question: bool) -> Head:
        paced = Paced(self._socket)
        self._answer = io.BufferedReader(paced)
        if not is_question:
            return http_wire.read_head(self._answer)
        paced.left = min(FIRST_WORD, guarded_sockets.PATIENCE)
        try:
            self._answer.peek(1)
        except TimeoutError:  # at the next try as well
            raise Broken("it accepts connections and does not answer") from None
        paced.left = guarded_sockets.PATIENCE
        return http_wire.read_head(self._answer)

    def _send(self, head: bytes, data: bytes | Iterable[bytes] | None) -> None:
        if data is None or isinstance(data, bytes):
            self._socket.sendall(head + (data or b""))
            return
        self._socket.sendall(head)
        if isinstance(data, Sized):
            for piece in data:
                self._socket.sendall(piece)
            return
        for piece in filter(None, data):  # an empty chunk would be the last
            self._socket.sendall(b"%X\r\n%b\r\n" % (len(piece), piece))
        self._socket.sendall(b"0\r\n\r\n")

    def body(self, method: str, head: Head, size: int) -> Iterator[bytes]:
        """Yield the rest of the answer to the last request. Raises OSError."""
        yield from http_wire.read_body(self._answer, method, head, size)
        self._answer.close()


@contextlib.contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise Broken(str(error), passing=True) from error
    except ValueError as error:
        raise Broken(str(error)) from error
