"""Refuses connections by which a registry elsewhere would reach services of this machine.

Names prove nothing: `127.1` and `2130706433` are loopback addresses too, anyone can have a name lead to one, and it can
lead elsewhere at the next lookup (DNS rebinding). So the address of each connection decides whether it is used.
"""

import contextlib
import functools
import ipaddress
import socket
import ssl
from typing import Any

from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from sandbox.oci.address import Address
from sandbox.oci.oci_errors import RegistryError

# Where clouds serve a machine's own credentials, other than by link-local addresses: AWS, Google, Alibaba, Azure.
METADATA = ("fd00:ec2::254", "fd20:ce::254", "100.100.100.200", "168.63.129.16")


def is_local(address: str, own: str = "") -> bool:
    """Return whether an IP address leads to this machine, or to a service with this machine's secrets.

    `own` is the near end of a connection to it: both ends are the same when a machine connects to itself.
    """
    parsed = ipaddress.ip_address(address.partition("%")[0])
    parsed = getattr(parsed, "ipv4_mapped", None) or parsed
    is_special = parsed.is_loopback or parsed.is_link_local or parsed.is_unspecified
    return is_special or str(parsed) in METADATA or address == own


class _Guard:
    """Refuses connections to this machine, unless all connections to the registry itself were to this machine."""

    def __init__(self, home: Address) -> None:
        self.host = home.host
        self._registry_is_local = {True} if home.is_loopback else set[bool]()  # at each of its connections

    def can_judge(self, host: str) -> bool:
        """Return False for the registry before its first connection, which shows whether it is on this machine."""
        return host != self.host or bool(self._registry_is_local)

    def check(self, host: str, address: str, own: str = "") -> None:
        """Raise RegistryError if `host` must not be at `address`; `own` is the near end of a connection to it."""
        local = is_local(address, own)
        if own and host == self.host:
            self._registry_is_local.add(local)
        if local and self._registry_is_local != {True}:
            raise RegistryError(
                f"{self.host} resolves to an address that is not allowed",
                details=f"{host} is {address}: this machine, or an address that only this machine may use",
                fix="check the registry's address, or tell its owner",
            )


class _GuardedConnection(HTTPConnection):
    guard: _Guard

    def _new_conn(self) -> socket.socket:
        if self.proxy is not None:  # which resolves names itself, from where it is
            return super()._new_conn()
        if self.guard.can_judge(self.host):  # refused before a connection shows which ports are open
            with contextlib.suppress(OSError):  # reported as a connection that cannot be made
                places = socket.getaddrinfo(self.host, self.port, type=socket.SOCK_STREAM)
                addresses = [str(address[0]) for *_, address in places]
                # The registry's own name may have a link-local address besides the one that is used (mDNS).
                if self.host != self.guard.host or all(map(is_local, addresses)):
                    for address in addresses:
                        self.guard.check(self.host, address)
        connection = super()._new_conn()
        try:
            self.guard.check(self.host, str(connection.getpeername()[0]), str(connection.getsockname()[0]))
        except BaseException:
            connection.close()
            raise
        return connection


class GuardedAdapter(HTTPAdapter):
    """Connections to the registry at `home` and to where it redirects; the system's certificates are trusted too."""

    def __init__(self, home: Address, **options: Any) -> None:
        guard = {"guard": _Guard(home)}
        self._connections = {
            HTTPConnectionPool: type("Plain", (_GuardedConnection,), guard),
            HTTPSConnectionPool: type("Secure", (_GuardedConnection, HTTPSConnection), guard),
        }
        self._is_loopback = home.is_loopback
        super().__init__(**options)

    def get_connection_with_tls_context(self, *args: Any, **options: Any) -> Any:
        pool: Any = super().get_connection_with_tls_context(*args, **options)
        pool.ConnectionCls = self._connections.get(type(pool), pool.ConnectionCls)  # those of SOCKS proxies stay
        return pool

    def build_connection_pool_key_attributes(self, *args: Any, **options: Any) -> Any:
        host, tls = super().build_connection_pool_key_attributes(*args, **options)
        if self._is_loopback and host["scheme"] == "http":  # no proxy, which may speak TLS, is asked
            return host, tls
        return host, {**tls, "ssl_context": self._context}

    @functools.cached_property
    def _context(self) -> ssl.SSLContext:
        """The system's certificates, which take longer to load than most answers of a local registry."""
        return ssl.create_default_context()
