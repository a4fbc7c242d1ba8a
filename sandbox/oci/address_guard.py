"""Keeps a registry from leading its clients into this machine.

Names prove nothing: `127.1` and `2130706433` are loopback addresses too, anyone can have a name lead to one, and it can
lead elsewhere at the next lookup (DNS rebinding). So what counts is the address of the connection.
"""

from __future__ import annotations

import ipaddress
import socket
import threading

from sandbox.oci.oci_errors import RegistryError

# Where clouds serve a machine's own credentials, other than by link-local addresses: AWS, Google, Alibaba, Azure.
METADATA = ("fd00:ec2::254", "fd20:ce::254", "100.100.100.200", "168.63.129.16")


def inside(address: str, own: str = "") -> bool:
    """Return whether an IP address leads to this machine, or to a service with this machine's secrets.

    `own` is the near end of a connection to it: both ends are the same when a machine connects to itself.
    """
    parsed = ipaddress.ip_address(address.partition("%")[0])
    mapped = parsed.ipv4_mapped if isinstance(parsed, ipaddress.IPv6Address) else None
    parsed = mapped or parsed
    if parsed.is_loopback or parsed.is_link_local or parsed.is_unspecified or str(parsed) in METADATA:
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
