"""A long answer of a server on a Unix socket, in as few and as large reads as can be.

It asks in HTTP/1.0, so that the answer comes without chunks: the Docker Engine makes one of every 32 KiB, and taking
them apart costs more than reading what is in them.
"""

from __future__ import annotations

import json
import os
import socket
import struct
from collections.abc import Generator

CHUNK = 1 << 20
LARGEST_HEAD = 64 << 10


class Refused(OSError):
    """The server answered with another status than 200; the text is its own message."""


class Chunked(OSError):
    """The server sent chunks although HTTP/1.0 has none; ask it in another way."""


def get(path: str | os.PathLike[str], target: str, *, timeout: int) -> Generator[bytes]:
    """The body of what `target` (a path with its query) gives on the socket at `path`, to the end of the connection.

    `timeout` is the longest silence, in seconds. Raises OSError. The end of the answer does not tell that it was
    whole: what is read must have an end of its own, as a tar has.
    """
    with socket.socket(socket.AF_UNIX) as connection:
        # Not settimeout, which would make every read return what little is there.
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("ll", timeout, 0))
        connection.connect(os.fspath(path))
        connection.sendall(f"GET {target} HTTP/1.0\r\nHost: localhost\r\n\r\n".encode())
        head, rest = b"", b""
        while b"\r\n\r\n" not in head:
            more = connection.recv(LARGEST_HEAD)
            if not more or len(head) > LARGEST_HEAD:
                raise ConnectionResetError("the answer broke off")
            head += more
        head, _, rest = head.partition(b"\r\n\r\n")
        if b"\r\ntransfer-encoding:" in head.lower():
            raise Chunked("the answer comes in chunks")
        if head.split(b" ", 2)[1:2] != [b"200"]:
            raise Refused(_message(head, rest + connection.recv(LARGEST_HEAD, socket.MSG_WAITALL)))
        if rest:
            yield rest
        while chunk := connection.recv(CHUNK, socket.MSG_WAITALL):
            yield chunk


def _message(head: bytes, body: bytes) -> str:
    """What a refusal says: the engine's `message`, else the status."""
    try:
        return str(json.loads(body)["message"])
    except (ValueError, KeyError, TypeError):
        return head.partition(b"\r\n")[0].decode(errors="replace")
