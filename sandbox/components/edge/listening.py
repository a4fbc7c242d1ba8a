"""Where the edge listens on this machine, by what the routes of all sandboxes ask for."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from ipaddress import ip_address

from sandbox.components.edge.route import LOOPBACK, Port, RegistryRoute, Route
from sandbox.engine import Bind

# The container's ports where the engine publishes them: HTTPS on loopback addresses, and on others.
PORT, OPEN_PORT = 8443, 8444
IPV6_LOOPBACK = "::1"


def https(routes: Sequence[Route], *, ipv6: bool) -> tuple[Bind, ...]:
    """Return where the edge listens for HTTPS.

    `ipv6` adds ::1, which this machine's own programs try first for `*.localhost`. A spec that opens the edge to the
    network opens the loopback too.
    """
    binds = {Bind(*place) for route in routes for place in route.listen}
    binds |= {Bind(LOOPBACK, bind.port) for bind in binds if not ip_address(bind.address).is_loopback}
    if ipv6:
        binds |= {Bind(IPV6_LOOPBACK, bind.port) for bind in binds if bind.address == LOOPBACK}
    # A listener on the wildcard address has all addresses, and no port can be opened twice.
    return tuple(
        sorted(
            bind for bind in binds if bind.address == _wildcard(bind) or Bind(_wildcard(bind), bind.port) not in binds
        )
    )


def tcp(route: Route, port: Port, *, ipv6: bool) -> tuple[Bind, ...]:
    bind = Bind(*route.place(port))
    return (bind, Bind(IPV6_LOOPBACK, bind.port)) if ipv6 and bind.address == LOOPBACK else (bind,)


def inner(bind: Bind) -> int:
    """Return the container's port where the engine publishes this one; it does not depend on the other ports."""
    return 10000 + zlib.crc32(f"{ip_address(bind.address)}:{bind.port}".encode()) % 50000


def published(
    routes: Sequence[Route], registries: Sequence[RegistryRoute], *, ipv6: bool = False
) -> Mapping[int, tuple[Bind, ...]]:
    """Return every place where the edge listens, by the container's port that the engine publishes there.

    Loopback addresses have a port of their own, as HAProxy cannot tell by the address which clients are on this
    machine.
    """
    places: dict[int, tuple[Bind, ...]] = {}
    for bind in https(routes, ipv6=ipv6):
        port = PORT if ip_address(bind.address).is_loopback else OPEN_PORT
        places[port] = (*places.get(port, ()), bind)
    for route in routes:
        for port_of_service in route.tcp_ports:
            binds = tcp(route, port_of_service, ipv6=ipv6)
            places[inner(binds[0])] = binds
    for registry in registries:
        bind = Bind(*registry.place)
        places[inner(bind)] = (bind,)
    return places


def binds(routes: Sequence[Route], registries: Sequence[RegistryRoute], *, ipv6: bool) -> frozenset[Bind]:
    return frozenset(bind for each in published(routes, registries, ipv6=ipv6).values() for bind in each)


def _wildcard(bind: Bind) -> str:
    return "::" if ":" in bind.address else "0.0.0.0"  # noqa: S104
