"""HTTP on a Unix socket, a connection for each request: what the Docker Engine's own socket needs, without imports.

Images are saved by HTTP/1.0, so that the answer comes without chunks: the Docker Engine makes one of every 32 KiB, and
taking them apart costs more than reading their content.
"""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Generator, Mapping
from typing import Any, NamedTuple

from sandbox.config import json_text
from sandbox.system import http_wire
from sandbox.system.http_wire import LARGEST_HEAD

CHUNK = 1 << 20


class Refused(OSError):
    """The server answered with an error status; the text is its own message."""


class NotThere(Refused):
    """The server does not have what was asked for (404)."""


class Chunked(OSError):
    """The server sent chunks although HTTP/1.0 has none; use another way."""


class Reply(NamedTuple):
    """What a server answered; the names of headers are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def content(self) -> Any:
        """Return what its JSON says. Raises OSError where there is none, as of an engine that ends."""
        try:
            return json_text.document(self.body)
        except ValueError as error:
            raise ConnectionResetError("the answer is not JSON") from error


def ask(
    path: str | os.PathLike[str],
    method: str,
    target: str,
    *,
    body: bytes = b"",
    kind: str = "application/json",
    timeout: float | None,
) -> Reply:
    """Send one request to the socket at `path` and read the whole answer; `kind` is the media type of the `body`.

    `target` is a path with its query; `timeout` is the longest silence, in seconds, None for ever. Raises OSError.
    """
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(timeout)
        connection.connect(os.fspath(path))
        return exchange(connection, method, target, body=body, kind=kind)


def exchange(connection: socket.socket, method: str, target: str, *, body: bytes, kind: str) -> Reply:
    """Send one request on a connection and read the whole answer; the connection is then used up. Raises OSError."""
    head = f"{method} {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
    if body or method != "GET":
        head += f"Content-Type: {kind}\r\nContent-Length: {len(body)}\r\n"
    connection.sendall(f"{head}\r\n".encode() + body)
    with connection.makefile("rb") as answer:
        found = http_wire.read_head(answer)
        return Reply(found.status, found.headers, http_wire.whole(http_wire.read_body(answer, method, found, CHUNK)))


def require(answer: Reply) -> Reply:
    """Return the answer if it is not an error. Raises NotThere, Refused."""
    if answer.status >= 400:
        kind = NotThere if answer.status == 404 else Refused
        raise kind(_message(f"HTTP status {answer.status}", answer.body))
    return answer


def get_unchunked(
    path: str | os.PathLike[str], target: str, *, timeout: int, at_once: bool = False
) -> Generator[bytes]:
    """Yield the response of `target` (a path with its query) on the socket at `path`, to the end of the connection.

    Pieces are large, or, `at_once`, as they come. `timeout` is the longest silence, in seconds. Raises OSError. The end
    of the answer does not tell that it was whole: what is read must have an end of its own, as a tar has.
    """
    with socket.socket(socket.AF_UNIX) as connection:
        # Not settimeout, which would make every read return what little is there.
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("ll", timeout, 0))
        connection.connect(os.fspath(path))
        connection.sendall(f"GET {target} HTTP/1.0\r\nHost: localhost\r\n\r\n".encode())
        head, rest = _head(connection)
        if b"\r\ntransfer-encoding:" in head.lower():
            raise Chunked("the answer comes in chunks")
        if head.split(b" ", 2)[1:2] != [b"200"]:
            status = head.partition(b"\r\n")[0].decode(errors="replace")
            raise Refused(_message(status, rest + connection.recv(LARGEST_HEAD, socket.MSG_WAITALL)))
        if rest:
            yield rest
        while chunk := connection.recv(CHUNK, 0 if at_once else socket.MSG_WAITALL):
            yield chunk


def _head(connection: socket.socket) -> tuple[bytes, bytes]:
    """Read an answer to the end of its head; return the head and what has come of the body."""
    head = b""
    while b"\r\n\r\n" not in head:
        more = connection.recv(LARGEST_HEAD)
        if not more or len(head) > LARGEST_HEAD:
            raise http_wire.broken_off()
        head += more
    head, _, rest = head.partition(b"\r\n\r\n")
    return head, rest


def _message(otherwise: str, body: bytes) -> str:
    """Return the text of a refusal: the server's `message`, else the status."""
    try:
        return str(json_text.document(body)["message"])
    except (ValueError, KeyError, TypeError):
        return otherwise
