"""The part of the edge's configuration for TCP ports and TLS hosts, each routed to one Service.

Every node has a port for the Service (a NodePort). There are no health checks, because some servers lock out clients
that connect and say nothing (MySQL's max_connect_errors); a failed connection is tried on the next node.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from ipaddress import ip_address

from sandbox.components.edge import haproxy_http
from sandbox.components.edge.route import Port, Route
from sandbox.components.network import socket_handover
from sandbox.engine import Bind

# A new container resolves nodes a moment after it has its sockets; without a server HAProxy refuses clients.
_PATIENCE = """\
  tcp-request inspect-delay 3s
  tcp-request content accept if {{ nbsrv({name}) gt 0 }}
  tcp-request content accept if WAIT_END
"""
PREFIX = "tcp:"  # no sandbox can have this name


def binds(route: Route, port: Port, *, also: bool = True) -> tuple[Bind, ...]:
    """Return where this machine listens for a port; with `also`, on ::1 too where it is 127.0.0.1's."""
    bind = Bind(*route.place(port))
    return (bind, Bind("::1", bind.port)) if also and bind.address == "127.0.0.1" else (bind,)


def inner(route: Route, port: Port) -> int:
    """Return the port of the container where the engine forwards one; it does not depend on the other ports."""
    address, number = route.place(port)
    return 10000 + zlib.crc32(f"{ip_address(address)}:{number}".encode()) % 50000


def section(route: Route, port: Port) -> str:
    """Return the configuration's name for a port, or a host of TLS."""
    return f"{PREFIX}{route.name}:{port.host or port.port}"


def render(routes: Sequence[Route], held: Sequence[Bind]) -> str:
    """Return the sections of all ports; `held` are the machine's own sockets, without any the engine forwards."""
    ports = "".join(_sections(route, port, held) for route in routes for port in route.tcp_ports)
    named = ((section(route, port), _backend(route, port)) for route in routes for port in route.tls_hosts)
    return ports + "".join(f"\nbackend {name}\n{backend}" for name, backend in named)


def _sections(route: Route, port: Port, held: Sequence[Bind]) -> str:
    listens = "".join(_listens(route, port, held))
    if not listens:
        return ""  # until the edge is replaced by one that has it
    name = section(route, port)
    listens += _PATIENCE.format(name=name) if port.to in dict(route.node_ports) else ""
    return f"\nfrontend {name}\n{listens}  default_backend {name}\n\nbackend {name}\n{_backend(route, port)}"


def _listens(route: Route, port: Port, held: Sequence[Bind]) -> Iterator[str]:
    if not held:
        yield f"  bind :{inner(route, port)}\n"
    yield from (socket_handover.line(bind) for bind in binds(route, port) if bind in held)


def _backend(route: Route, port: Port) -> str:
    number = dict(route.node_ports).get(port.to)
    if number is None:
        return ""  # clients are refused until the Service is known
    told = " send-proxy-v2" if port.proxy else ""
    hosts = ((name, node.rpartition(":")[0]) for name, node in haproxy_http.servers(route))
    servers = "".join(f"  server {name} {host}:{number}{told} {haproxy_http.FOUND}\n" for name, host in hosts)
    return f"{haproxy_http.NEAR}  option redispatch 1\n  option tcpka\n{servers}"
