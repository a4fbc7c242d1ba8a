"""The status of each host that the edge routes: where it leads, and what HAProxy says of the servers there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from sandbox.components.edge import haproxy_http
from sandbox.components.edge.haproxy_admin import Server
from sandbox.components.edge.route import INGRESS, Host, Route

PASSED, ENDS = "passthrough", "terminate"  # the mode of a host: its TLS passes the edge, or ends there


@dataclass(frozen=True)
class RouteStatus:
    """A host, or `*.domain` with the domain itself; `servers` are empty when HAProxy could not be asked.

    HAProxy counts by server, so hosts with the same server share its figures.
    """

    host: str
    sandbox: str
    mode: str
    upstreams: tuple[str, ...]
    servers: tuple[Server, ...]


def route_statuses(routes: Sequence[Route], servers: Sequence[Server]) -> tuple[RouteStatus, ...]:
    by_backend: dict[str, tuple[Server, ...]] = {}
    for server in servers:
        by_backend[server.backend] = (*by_backend.get(server.backend, ()), server)
    return tuple(status for route in routes for status in _statuses(route, by_backend))


def _statuses(route: Route, servers: Mapping[str, tuple[Server, ...]]) -> Iterator[RouteStatus]:
    nodes = ("the cluster's API server",) if route.forward(INGRESS) else route.nodes
    yield RouteStatus(f"*.{route.domain}", route.name, PASSED, nodes, servers.get(route.name, ()))
    inside = haproxy_http.backend(route, Host(route.domain, terminate=True))
    for alias in route.aliases:
        yield RouteStatus(f"*.{alias}", route.name, ENDS, route.nodes, servers.get(inside, ()))
    for host in route.every_host:
        mode, upstreams = (ENDS if host.terminate else PASSED), ((host.to,) if host.to else route.nodes)
        yield RouteStatus(host.host, route.name, mode, upstreams, servers.get(haproxy_http.backend(route, host), ()))
