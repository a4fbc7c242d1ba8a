"""Where a registry listens, whether that is this machine, and which of localhost's two addresses answers."""

from __future__ import annotations

import ipaddress
import socket
from dataclasses import dataclass
from urllib.parse import urlsplit

from sandbox.errors import UsageError

LOOPBACKS = ("127.0.0.1", "::1")
CONNECT_SECONDS = 2.0


@dataclass(frozen=True)
class Address:
    """A registry's scheme, host and port, with no path."""

    scheme: str
    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.scheme}://{self.netloc}"

    @property
    def netloc(self) -> str:
        """`host:port` as URLs write it."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def is_loopback(self) -> bool:
        """Whether it is on this machine; such a registry is spoken to in plain http and never through a proxy."""
        if self.host == "localhost" or self.host.endswith(".localhost"):
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False


def parse(text: str) -> Address:
    """Read `http[s]://host[:port]` or `host[:port]`; without a scheme loopback means http. Raises UsageError."""
    try:
        parts = urlsplit(text if "://" in text else f"//{text}")
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise _refused(text, str(error)) from error
    if not host or parts.path.strip("/") or parts.query or parts.username or parts.scheme not in ("", "http", "https"):
        raise _refused(text, "expected only a scheme, a host and a port")
    scheme = parts.scheme or ("http" if Address("http", host, 80).is_loopback else "https")
    return Address(scheme, host, port or (443 if scheme == "https" else 80))


def dial(address: Address) -> Address:
    """`address` with `localhost` replaced by the loopback address where something listens, 127.0.0.1 first.

    Ports published on 127.0.0.1 only refuse clients that resolve localhost to ::1. When neither answers, 127.0.0.1
    is returned, and the first request says so.
    """
    if address.host != "localhost":
        return address
    for host in LOOPBACKS:
        try:
            socket.create_connection((host, address.port), timeout=CONNECT_SECONDS).close()
        except OSError:
            continue
        return Address(address.scheme, host, address.port)
    return Address(address.scheme, LOOPBACKS[0], address.port)


def _refused(text: str, reason: str) -> UsageError:
    return UsageError(f"{text!r} is not a registry address", details=reason, fix="write http://localhost:5001")
