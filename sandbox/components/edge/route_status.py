"""The status of each host that the edge routes: where it leads, and what HAProxy says of the servers there."""

from __future__ import annotations

from collections.abc import Sequence
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
    def servers_of(backend: str) -> tuple[Server, ...]:
        return tuple(server for server in servers if server.backend == backend)

    statuses = []
    for route in routes:
        nodes = ("the cluster's API server",) if route.forward(INGRESS) else route.nodes
        statuses.append(RouteStatus(f"*.{route.domain}", route.name, PASSED, nodes, servers_of(route.name)))
        inside = servers_of(haproxy_http.backend(route, Host(route.domain, terminate=True)))
        statuses += [RouteStatus(f"*.{alias}", route.name, ENDS, route.nodes, inside) for alias in route.aliases]
        for host in route.every_host:
            mode, upstreams = (ENDS if host.terminate else PASSED), ((host.to,) if host.to else route.nodes)
            own = servers_of(haproxy_http.backend(route, host))
            statuses.append(RouteStatus(host.host, route.name, mode, upstreams, own))
    return tuple(statuses)
