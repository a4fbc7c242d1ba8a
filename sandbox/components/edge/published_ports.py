"""Which ports of the machine the edge's container publishes, by what the routes of all sandboxes ask for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from ipaddress import ip_address

from sandbox.components.edge import haproxy, haproxy_tcp
from sandbox.components.edge.route import Route
from sandbox.engine import Bind, Container


def published(known: Sequence[Route], *, also: bool = True) -> Mapping[int, tuple[Bind, ...]]:
    """Return the addresses and ports that all sandboxes ask for, by the port of the container that they lead to.

    Loopback addresses have a port of their own, as HAProxy cannot tell by the address which clients are on this
    machine. `also` adds the addresses at which this machine's own programs look for `*.localhost`.
    """
    wanted = {Bind(*each) for route in known for each in route.listen}
    if also:
        wanted |= {Bind(address, bind.port) for bind in wanted for address in _local(bind)}
    # A listener on the wildcard address has all addresses, and no port can be opened twice.
    least = {
        bind for bind in wanted if bind.address == _everywhere(bind) or Bind(_everywhere(bind), bind.port) not in wanted
    }
    inner = {bind: haproxy.PORT if ip_address(bind.address).is_loopback else haproxy.OPEN_PORT for bind in least}
    https = {port: tuple(sorted(bind for bind in least if inner[bind] == port)) for port in sorted(set(inner.values()))}
    return https | {
        haproxy_tcp.inner(route, port): haproxy_tcp.binds(route, port, also=also)
        for route in known
        for port in route.tcp_ports
    }


def lacking(container: Container, known: Sequence[Route]) -> list[Bind]:
    """Return what sandboxes ask for and the container does not publish."""
    asked = published(known, also=False).items()
    return [bind for port, binds in asked for bind in binds if bind not in container.published.get(port, frozenset())]


def surplus(container: Container, known: Sequence[Route]) -> frozenset[Bind]:
    """Return what the container publishes although no sandbox asks for it any more."""
    wanted = {bind for binds in published(known).values() for bind in binds}
    return serves(container) - wanted


def serves(container: Container) -> frozenset[Bind]:
    """Return what the container publishes for clients of sandboxes."""
    ports = {inner: binds for inner, binds in container.published.items() if inner != haproxy.CONTROL_PORT}
    return frozenset(bind for binds in ports.values() for bind in binds)


def _local(bind: Bind) -> Sequence[str]:
    """Return the loopback addresses to add: browsers try ::1 first; other addresses are meant alone."""
    if bind.address == "127.0.0.1":
        return ("::1",)
    return () if ip_address(bind.address).is_loopback else ("127.0.0.1", "::1")


def _everywhere(bind: Bind) -> str:
    return "::" if ":" in bind.address else "0.0.0.0"  # noqa: S104
