"""Which sandbox a server name belongs to, as the edge's maps say it: whose domain it is in, the longest one first."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence

from sandbox.components.edge.routes import Route


def find(routes: Sequence[Route], host: str | None, *, local: bool) -> Route | None:
    """Return the route for `host`; `routes` are oldest first.

    Who asks for no known host gets the newest sandbox, whose page says what there is; but only from this machine
    (`local`), since the page is nothing for others.
    """
    candidate = host or ""
    known = {route.domain: route for route in routes}
    while candidate:
        if candidate in known:
            return known[candidate]
        candidate = candidate.partition(".")[2]
    return routes[-1] if routes and local else None


def is_local(address: str) -> bool:
    """Tell whether a client's address is one of this machine's loopback interface."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    mapped = found.ipv4_mapped if isinstance(found, ipaddress.IPv6Address) else None
    return (mapped or found).is_loopback
