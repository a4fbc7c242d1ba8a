"""Where a registry listens, and whether that is this machine."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from urllib.parse import urljoin, urlsplit, urlunsplit

from sandbox.errors import UsageError
from sandbox.system import host_network

_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True)
class Address:
    scheme: str
    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.scheme}://{self.netloc}"

    @property
    def netloc(self) -> str:
        return host_network.authority(self.host, self.port)

    @property
    def is_loopback(self) -> bool:
        """Tell whether it is on this machine; such a registry is used in plain http and never through a proxy."""
        if self.host == "localhost" or self.host.endswith(".localhost"):
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False


def parse(text: str) -> Address:
    """Read `http[s]://host[:port]` or `host[:port]`; without a scheme loopback means http. Raises UsageError."""
    full = text
    if "://" not in text:
        plain = of_url(f"http://{text}")
        full = f"{'http' if plain and plain.is_loopback else 'https'}://{text}"
    address = of_url(full)
    parts = urlsplit(full) if address else None
    if address is None or parts is None or parts.path.strip("/") or parts.query or parts.username:
        details = "expected only a scheme, a host and a port"
        raise UsageError(f"{text!r} is not a registry address", details=details, fix="write http://localhost:5001")
    return address


def of_url(url: str) -> Address | None:
    """Return the address in a full URL; None when it is no http URL with a host."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
        (host or "").encode("idna")  # as it is sent to resolvers
    except ValueError:
        return None
    # For urllib3 a host ends at a backslash, as in browsers; for urllib it does not, and may follow an @ after it.
    if not host or parts.scheme not in _PORTS or "\\" in parts.netloc:
        return None
    return Address(parts.scheme, host, port or _PORTS[parts.scheme])


def joined(base: str, url: str) -> str:
    """Return `url`, which may be relative to `base`, as a full one; empty when it is not valid."""
    try:
        return urljoin(base, url)
    except ValueError:
        return ""


def adopted(url: str, root: Address) -> str | None:
    """Return `url` on the registry at `root`, if it is another name of that; None when it leads elsewhere.

    Registries behind a proxy, a forwarded port or TLS termination write the name, scheme or port that they see.
    """
    address = of_url(url)
    if address is None:
        return None
    parts = urlsplit(url)
    same_host = address.host == root.host and (address.port == root.port or parts.port is None)
    if not same_host and not (address.is_loopback and root.is_loopback and address.port == root.port):
        return None
    return urlunsplit((root.scheme, root.netloc, parts.path, parts.query, ""))
