"""What the edge leads where, host by host, with what HAProxy knows of each way."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from sandbox.components.edge import haproxy_http
from sandbox.components.edge.haproxy_admin import Server
from sandbox.components.edge.routes import Host, Route

PASSED, ENDS = "passthrough", "terminate"


@dataclass(frozen=True)
class Way:
    """A host, or `*.domain` with the domain itself; `servers` are empty when HAProxy could not be asked.

    HAProxy counts by server, so the ways that lead to one share its figures.
    """

    host: str
    sandbox: str
    mode: str
    upstreams: tuple[str, ...]
    servers: tuple[Server, ...]


def ways(routes: Sequence[Route], servers: Sequence[Server]) -> tuple[Way, ...]:
    """Return every way that there is, sandbox by sandbox; `routes` have what was added by hand."""
    by_backend: dict[str, tuple[Server, ...]] = {}
    for server in servers:
        by_backend[server.backend] = (*by_backend.get(server.backend, ()), server)
    return tuple(way for route in routes for way in _of(route, by_backend))


def _of(route: Route, found: Mapping[str, tuple[Server, ...]]) -> Iterator[Way]:
    yield Way(f"*.{route.domain}", route.name, PASSED, route.nodes, found.get(route.name, ()))
    inside = haproxy_http.backend(route, Host(route.domain, terminate=True))
    for alias in route.aliases:
        yield Way(f"*.{alias}", route.name, ENDS, route.nodes, found.get(inside, ()))
    for host in route.hosts:
        mode, upstreams = (ENDS if host.terminate else PASSED), ((host.to,) if host.to else route.nodes)
        yield Way(host.host, route.name, mode, upstreams, found.get(haproxy_http.backend(route, host), ()))
