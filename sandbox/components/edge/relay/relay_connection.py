"""One connection through the relay: the PROXY header for its server, and both directions, each closed by itself.

The PROXY protocol is specified in HAProxy's proxy-protocol.txt, section 2.2.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import socket
import time
from asyncio import StreamReader, StreamWriter
from dataclasses import dataclass
from typing import Any

CHUNK = 256 << 10


@dataclass(frozen=True)
class Ends:
    """The two streams of one connection."""

    reader: StreamReader
    writer: StreamWriter


class Connection:
    """A client and, once it is known, its server; `abort` ends both at once."""

    def __init__(self, client: Ends) -> None:
        self.client = client
        self.server: Ends | None = None
        self.touched = time.monotonic()
        self.half_closed = False

    async def run(self, server: Ends) -> None:
        """Relay until both directions have ended, or one has failed, which ends both."""
        self.server = server
        for end in (self.client, server):
            _keep_alive(end.writer)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._pump(self.client.reader, server.writer))
                group.create_task(self._pump(server.reader, self.client.writer))
        except* OSError:
            self.abort()
        finally:
            for end in (self.client, server):
                end.writer.close()

    def abort(self) -> None:
        """End both directions at once, whatever was still to be sent."""
        for end in (self.client, self.server):
            if end is not None:
                end.writer.transport.abort()

    def is_expired(self, now: float, *, idle: float, half_closed: float) -> bool:
        """Tell whether nothing was sent for too long; in seconds, `now` on the monotonic clock."""
        return now - self.touched > (half_closed if self.half_closed else idle)

    async def _pump(self, source: StreamReader, target: StreamWriter) -> None:
        while data := await source.read(CHUNK):
            self.touched = time.monotonic()
            target.write(data)
            await target.drain()  # returns at once unless the other side is slower
            self.touched = time.monotonic()
        self.half_closed = True
        with contextlib.suppress(OSError, RuntimeError):  # closed meanwhile
            target.write_eof()


def _keep_alive(writer: StreamWriter) -> None:
    """Have the system find out when the other end has vanished, since a silent connection may still be alive."""
    end: socket.socket | None = writer.get_extra_info("socket")
    if end is None:
        return
    with contextlib.suppress(OSError):
        end.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        if hasattr(socket, "TCP_KEEPIDLE"):
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 60)


_SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
_LOCAL, _PROXY = b"\x20", b"\x21"
_UNSPECIFIED, _TCP4, _TCP6 = b"\x00", b"\x11", b"\x21"

Peer = tuple[Any, ...]  # as sockets give it: address and port, and for IPv6 two more


def proxy_header(source: Peer, destination: Peer) -> bytes:
    """Return the header that precedes a connection from `source` that was made to `destination`."""
    try:
        ends = [
            (ipaddress.ip_address(str(address).partition("%")[0]), int(port))
            for address, port, *_ in (source, destination)
        ]
    except ValueError:
        return _SIGNATURE + _LOCAL + _UNSPECIFIED + bytes(2)
    if len({address.version for address, _ in ends}) > 1:
        return _SIGNATURE + _LOCAL + _UNSPECIFIED + bytes(2)
    body = b"".join(address.packed for address, _ in ends) + b"".join(port.to_bytes(2) for _, port in ends)
    return _SIGNATURE + _PROXY + (_TCP4 if ends[0][0].version == 4 else _TCP6) + len(body).to_bytes(2) + body
