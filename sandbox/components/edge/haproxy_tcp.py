"""The part of the edge's configuration for TCP ports and TLS hosts, each routed to one Service.

Every node has a port for the Service (a NodePort). There are no health checks, because some servers lock out clients
that connect and say nothing (MySQL's max_connect_errors); a failed connection is tried on the next node.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from sandbox.components.edge import haproxy_http, listening
from sandbox.components.edge.route import Port, Route
from sandbox.engine import Bind

PREFIX = "tcp:"  # no sandbox can have this name


def section(route: Route, port: Port) -> str:
    return f"{PREFIX}{route.name}:{port.host or port.port}"


def render(routes: Sequence[Route], listen: Callable[[Sequence[Bind]], str], machine: str, *, ipv6: bool) -> str:
    """Return the sections of all ports; `listen` returns the lines for the places where HAProxy listens.

    `machine` is this machine's address for HAProxy.
    """
    ports = (
        _sections(route, port, listen(listening.tcp(route, port, ipv6=ipv6)), machine)
        for route in routes
        for port in route.tcp_ports
    )
    named = ((section(route, port), _backend(route, port, machine)) for route in routes for port in route.tls_hosts)
    return "".join(ports) + "".join(f"\nbackend {name}\n{backend}" for name, backend in named)


def _sections(route: Route, port: Port, listens: str, machine: str) -> str:
    name = section(route, port)
    backend = _backend(route, port, machine)
    return f"\nfrontend {name}\n{listens}  default_backend {name}\n\nbackend {name}\n{backend}"


def _backend(route: Route, port: Port, machine: str) -> str:
    if forward := route.forward(port.to):
        return f"{haproxy_http.NEAR}  server forward {haproxy_http.reached(forward, machine)}\n"
    number = dict(route.node_ports).get(port.to)
    if number is None:
        return ""  # clients are refused until the Service is known
    header = " send-proxy-v2" if port.proxy else ""
    hosts = ((name, node.rpartition(":")[0]) for name, node in haproxy_http.servers(route))
    servers = "".join(f"  server {name} {host}:{number}{header} {haproxy_http.UNRESOLVED}\n" for name, host in hosts)
    return f"{haproxy_http.NEAR}  option redispatch 1\n  option tcpka\n{servers}"
