"""The part of the edge's configuration for ports besides HTTPS: those of Services, and the loopback's for registries.

Every node has a port for a Service (a NodePort). There are no health checks, because some servers lock out clients that
connect and say nothing (MySQL's max_connect_errors); a failed connection is tried on the next node.

CNCF distribution ignores the Host of a request, so a web page whose name was made to lead to 127.0.0.1 (DNS rebinding)
could push to it. A page of another origin could begin uploads: browsers then send Origin, and programs send none.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from sandbox.components.edge import haproxy_http
from sandbox.components.edge.listening import TCP, Place, section
from sandbox.components.edge.route import LOOPBACK, Port, RegistryRoute, Route

# Layers pass from socket to socket within the kernel, and the registry makes its own address (Location) from the Host
# of the request.
_REGISTRY = """
frontend {name}
  mode http
{listens}  timeout http-request 30s
  timeout http-keep-alive 1m
  timeout client 1h
  acl known req.hdr(host),host_only,lower -m str {hosts}
  acl page req.hdr(origin) -m found
  http-request return status 403 content-type application/json string '{refusal}' if !known or page
  default_backend {name}

backend {name}
  mode http
  timeout connect 1s
  timeout server 1h
  http-error status 503 content-type application/json string '{unavailable}'
  server registry {server}
"""


def services(routes: Sequence[Route], binds: Mapping[str, str], place: Place) -> str:
    """Return the frontends and backends of Services; `binds` has the `bind` lines of each frontend."""
    sections = [
        f"\nfrontend {name}\n{lines}  default_backend {name}\n" for name, lines in binds.items() if name.startswith(TCP)
    ]
    for route in routes:
        sections += [f"\nbackend {section(route, port)}\n{_backend(route, port, place)}" for port in route.every_port]
    return "".join(sections)


def _backend(route: Route, port: Port, place: Place) -> str:
    if forward := route.forward(port.to):
        return f"{haproxy_http.NEAR}  server forward {place.reached(forward)}\n"
    number = dict(route.node_ports).get(port.to)
    if number is None:
        return ""  # clients are refused until the Service is known
    header = "send-proxy-v2 " if port.proxy else ""
    nodes = haproxy_http.servers(route, place, f"{header}{haproxy_http.UNRESOLVED}", port=number)
    return f"{haproxy_http.NEAR}  option redispatch 1\n  option tcpka\n{nodes}"


def registries(registries: Sequence[RegistryRoute], binds: Mapping[str, str], place: Place) -> str:
    return "".join(
        _REGISTRY.format(
            name=registry.section,
            listens=binds.get(registry.section, ""),
            hosts=" ".join(("localhost", LOOPBACK, "[::1]", *registry.names)),
            refusal=_error("DENIED", f"ask for this registry as localhost:{registry.port}, and from no web page"),
            unavailable=_error("UNAVAILABLE", f"the registry of the sandbox {registry.sandbox} does not run"),
            server=place.reached(registry.upstream),
        )
        for registry in registries
    )


def _error(code: str, message: str) -> str:
    return json.dumps({"errors": [{"code": code, "message": message}]})
