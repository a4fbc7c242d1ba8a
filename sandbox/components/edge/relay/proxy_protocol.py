"""Tells a server behind a relay who its client is: the PROXY protocol's header (haproxy, proxy-protocol.txt, 2.2)."""

from __future__ import annotations

import ipaddress
from typing import Any

_SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
_LOCAL, _PROXY = b"\x20", b"\x21"
_UNSPECIFIED, _TCP4, _TCP6 = b"\x00", b"\x11", b"\x21"

Peer = tuple[Any, ...]  # as sockets give it: address and port, and for IPv6 two more


def header(source: Peer, destination: Peer) -> bytes:
    """Return what goes before the first byte of a connection from `source` that was made to `destination`."""
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
