"""Where the edge listens on this machine, by what the routes of all sandboxes ask for."""

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from ipaddress import ip_address

from sandbox.components.edge.route import LOOPBACK, Port, RegistryRoute, Route
from sandbox.engine import Bind

# The container's ports where the engine publishes them: HTTPS on loopback addresses, and on others.
PORT, OPEN_PORT = 8443, 8444
HTTPS = "https"  # the frontend for all sandboxes
TCP = "tcp:"  # how the names of sections for Services begin; no sandbox can have such a name
IPV6_LOOPBACK = "::1"
# The name of this machine for containers outside of the host's network.
MACHINE = "host.docker.internal"


@dataclass(frozen=True)
class Place:
    """Where HAProxy runs: in the `host` network of this machine, or in a container that publishes ports.

    In the host's network it starts as root, because of low ports, and its workers run as `user`; with `ipv6` it listens
    on ::1 too where it listens on 127.0.0.1. `closed` ports of routes are left out.
    """

    host: bool
    ipv6: bool = False
    user: int | None = None
    closed: frozenset[int] = frozenset()

    def reached(self, server: str) -> str:
        """Return a HOST:PORT as HAProxy reaches it, which may be on this machine's loopback."""
        return server if self.host else server.replace(LOOPBACK, MACHINE)


def section(route: Route, port: Port) -> str:
    """Return the name of the HAProxy frontend and backend for a Service's port."""
    return f"{TCP}{route.name}:{port}"


def frontends(
    routes: Sequence[Route], registries: Sequence[RegistryRoute], place: Place
) -> Mapping[str, tuple[Bind, ...]]:
    """Return the addresses and ports of each HAProxy frontend on this machine; a frontend without any is left out."""
    https = {Bind(*each) for route in routes for each in route.listen}
    # A spec that opens the edge to the network opens the loopback too.
    https |= {Bind(LOOPBACK, bind.port) for bind in https if not ip_address(bind.address).is_loopback}
    tcp = {section(route, port): {Bind(*route.place(port))} for route in routes for port in route.tcp_ports}
    opened = {name: _opened(binds, ipv6=place.ipv6) for name, binds in {HTTPS: https, **tcp}.items()}
    opened |= {registry.section: (Bind(*registry.place),) for registry in registries}
    kept = {name: tuple(bind for bind in binds if bind.port not in place.closed) for name, binds in opened.items()}
    return {name: binds for name, binds in kept.items() if binds}


def published(frontends: Mapping[str, Sequence[Bind]]) -> Mapping[int, tuple[Bind, ...]]:
    """Return this machine's addresses and ports, by the port of the container that the engine publishes there."""
    places: dict[int, tuple[Bind, ...]] = {}
    for name, binds in frontends.items():
        for bind in binds:
            places[inner(name, bind)] = (*places.get(inner(name, bind), ()), bind)
    return places


def inner(frontend: str, bind: Bind) -> int:
    """Return the container's port where the engine publishes this one; it does not depend on the other ports.

    HTTPS on loopback addresses has a port to itself, as HAProxy cannot tell by the address which clients are on this
    machine.
    """
    address = ip_address(bind.address)
    if frontend == HTTPS:
        return PORT if address.is_loopback else OPEN_PORT
    return 10000 + zlib.crc32(f"{address}:{bind.port}".encode()) % 50000


def _opened(binds: set[Bind], *, ipv6: bool) -> tuple[Bind, ...]:
    if ipv6:  # this machine's own programs try ::1 first for `*.localhost`
        binds = binds | {Bind(IPV6_LOOPBACK, bind.port) for bind in binds if bind.address == LOOPBACK}

    def is_covered(bind: Bind) -> bool:
        everywhere = "::" if ":" in bind.address else "0.0.0.0"  # noqa: S104
        return bind.address != everywhere and Bind(everywhere, bind.port) in binds

    # A listener on the wildcard address has all addresses, and no port can be opened twice.
    return tuple(sorted(bind for bind in binds if not is_covered(bind)))
