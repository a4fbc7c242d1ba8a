"""Where a registry listens, and whether that is this machine."""

import re
from dataclasses import dataclass

from urllib3.util import parse_url

from sandbox.config.schema import values
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
        return values.is_loopback(self.host)


def parse(text: str) -> Address:
    """Read `http[s]://host[:port]` or `host[:port]`; without a scheme loopback means http. Raises UsageError."""
    full = text
    if "://" not in text:
        plain = of_url(f"http://{text}")
        full = f"{'http' if plain and plain.is_loopback else 'https'}://{text}"
    address = of_url(full)
    if address is None or re.search(r"[/?#@]", full.partition("://")[2].rstrip("/")):
        details = "expected only a scheme, a host and a port"
        raise UsageError(f"{text!r} is not a registry address", details=details, fix="write http://localhost:5001")
    return address


def of_url(url: str) -> Address | None:
    """Return the address in a full URL, as `requests` reads it; None when it is no http URL with a host."""
    try:
        parts = parse_url(url)
        host = (parts.host or "").strip("[]")
        host.encode("idna")  # as it is sent to resolvers
    except ValueError:
        return None
    if not host or parts.scheme not in _PORTS:
        return None
    return Address(parts.scheme, host, parts.port or _PORTS[parts.scheme])
