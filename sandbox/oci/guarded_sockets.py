"""Connections to untrusted hosts: they end when an answer trickles, and never lead into this machine.

Names prove nothing: `127.1` and `2130706433` are loopback addresses too, anyone can have a name lead to one, and it can
lead elsewhere at the next lookup (DNS rebinding). So what counts is the address of the connection.
"""

from __future__ import annotations

import contextlib
import io
import ipaddress
import socket
import threading
import time
from typing import TYPE_CHECKING, Any

from sandbox.oci.oci_errors import RegistryError

CONNECT_TIMEOUT = 10.0
# An answer may take this long (seconds), and longer only while its bytes come, at no less than SLOWEST a second.
PATIENCE = 300.0
SLOWEST = 10_000
# Where clouds serve a machine's own credentials, other than by link-local addresses: AWS, Google, Alibaba, Azure.
METADATA = ("fd00:ec2::254", "fd20:ce::254", "100.100.100.200", "168.63.129.16")


def inside(address: str, own: str = "") -> bool:
    """Tell whether an IP address leads to this machine, or to a service with this machine's secrets.

    `own` is the near end of a connection to it: both ends are the same when a machine connects to itself.
    """
    found = ipaddress.ip_address(address.partition("%")[0])
    mapped = found.ipv4_mapped if isinstance(found, ipaddress.IPv6Address) else None
    found = mapped or found
    if found.is_loopback or found.is_link_local or found.is_unspecified or str(found) in METADATA:
        return True
    return bool(own) and address == own


class Guard:
    """The addresses to which the connections of one registry may lead; `host` is the registry's own, from its URL.

    A registry that is on this machine, or answers as if it were (a tunnel), may lead to others on it. Any other may
    not, and once it was seen elsewhere its own name may not lead here any more.
    """

    def __init__(self, host: str, *, near: bool) -> None:
        self._host = host
        self._near = near
        self._distant = False
        self._lock = threading.Lock()

    def resolve(self, host: str, port: int) -> None:
        """Refuse a name by its addresses, before anything is sent. Raises RegistryError, OSError."""
        if host != self._host and not self._open:
            for _, _, _, _, place in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM):
                if inside(str(place[0])):
                    raise self._refusal(host, str(place[0]))

    def admit(self, host: str, connection: socket.socket) -> None:
        """Refuse a connection by its address. Raises RegistryError."""
        peer = str(connection.getpeername()[0])
        here = inside(peer, str(connection.getsockname()[0]))
        with self._lock:
            if host == self._host and not self._distant:
                self._near, self._distant = here, not here
            elif here and not self._open:
                raise self._refusal(host, peer)

    @property
    def _open(self) -> bool:
        return self._near and not self._distant

    def _refusal(self, host: str, address: str) -> RegistryError:
        return RegistryError(
            f"{self._host} resolves to an address that is not allowed",
            details=f"{host} is {address}: this machine, or an address that only this machine may use",
            fix="check the registry's address, or tell its owner",
        )


if TYPE_CHECKING:
    from urllib3.connection import HTTPConnection

    _Base = HTTPConnection
else:
    _Base = object


class Watched(_Base):
    """A connection of urllib3's that asks its guard, and whose answers must come in time."""

    guard: Guard

    def _new_conn(self) -> socket.socket:
        if self.proxy is not None:  # which resolves names itself, from where it is
            return super()._new_conn()
        with contextlib.suppress(OSError):  # reported as a connection that cannot be made
            self.guard.resolve(self.host, self.port or 0)
        connection = super()._new_conn()
        try:
            self.guard.admit(self.host, connection)
        except BaseException:
            connection.close()
            raise
        return connection


class Paced(io.RawIOBase):
    """Reads from a connection, with a limit on the time spent waiting for bytes: `left` seconds, of which bytes add."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._raw = connection.makefile("rb", buffering=0)
        self.left = PATIENCE

    def makefile(self, mode: str) -> io.BufferedReader:
        """Stand in for the method of a socket that http.client calls."""
        return io.BufferedReader(self)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        """Read available bytes, within the time that is left. Raises TimeoutError."""
        if self.left <= 0:
            raise TimeoutError("the answer comes too slowly")
        self._connection.settimeout(min(self.left, PATIENCE))
        begun = time.monotonic()
        size = self._raw.readinto(buffer)
        self._connection.settimeout(PATIENCE)
        self.left += (size or 0) / SLOWEST - (time.monotonic() - begun)
        return size

    def close(self) -> None:
        self._raw.close()
        super().close()
