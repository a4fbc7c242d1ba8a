"""Where the edge listens on this machine, by what the routes of all sandboxes ask for."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping, Sequence
from ipaddress import ip_address

from sandbox.components.edge.route import LOOPBACK, Port, RegistryRoute, Route
from sandbox.engine import Bind

# The container's ports where the engine publishes them: HTTPS on loopback addresses, and on others.
PORT, OPEN_PORT = 8443, 8444
IPV6_LOOPBACK = "::1"


def https(routes: Sequence[Route], *, also: bool) -> tuple[Bind, ...]:
    """Return where the edge listens for HTTPS.

    `also` adds the addresses at which this machine's own programs look for `*.localhost`: browsers try ::1 first.
    """
    asked = {Bind(*place) for route in routes for place in route.listen}
    if also:
        asked |= {Bind(address, bind.port) for bind in asked for address in _local(bind)}
    # A listener on the wildcard address has all addresses, and no port can be opened twice.
    return tuple(
        sorted(
            bind
            for bind in asked
            if bind.address == _everywhere(bind) or Bind(_everywhere(bind), bind.port) not in asked
        )
    )


def tcp(route: Route, port: Port, *, also: bool) -> tuple[Bind, ...]:
    bind = Bind(*route.place(port))
    return (bind, Bind(IPV6_LOOPBACK, bind.port)) if also and bind.address == LOOPBACK else (bind,)


def inner(bind: Bind) -> int:
    """Return the container's port where the engine publishes this one; it does not depend on the other ports."""
    return 10000 + zlib.crc32(f"{ip_address(bind.address)}:{bind.port}".encode()) % 50000


def published(
    routes: Sequence[Route], registries: Sequence[RegistryRoute], *, also: bool
) -> Mapping[int, tuple[Bind, ...]]:
    """Return every place where the edge listens, by the container's port that the engine publishes there.

    Loopback addresses have a port of their own, as HAProxy cannot tell by the address which clients are on this
    machine.
    """
    places: dict[int, tuple[Bind, ...]] = {}
    for bind in https(routes, also=also):
        port = PORT if ip_address(bind.address).is_loopback else OPEN_PORT
        places[port] = (*places.get(port, ()), bind)
    for route in routes:
        for port_of_service in route.tcp_ports:
            binds = tcp(route, port_of_service, also=also)
            places[inner(binds[0])] = binds
    for registry in registries:
        bind = Bind(*registry.place)
        places[inner(bind)] = (bind,)
    return places


def binds(routes: Sequence[Route], registries: Sequence[RegistryRoute], *, also: bool = False) -> frozenset[Bind]:
    return frozenset(bind for each in published(routes, registries, also=also).values() for bind in each)


def _local(bind: Bind) -> Iterator[str]:
    """Yield the loopback addresses to add; another loopback address is meant alone."""
    if bind.address == LOOPBACK:
        yield IPV6_LOOPBACK
    elif not ip_address(bind.address).is_loopback:
        yield from (LOOPBACK, IPV6_LOOPBACK)


def _everywhere(bind: Bind) -> str:
    return "::" if ":" in bind.address else "0.0.0.0"  # noqa: S104
