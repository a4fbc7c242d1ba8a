"""The part of the edge's configuration for the loopback ports of registries.

CNCF distribution ignores the Host of a request, so a web page whose name was made to lead to 127.0.0.1 (DNS rebinding)
could push to it. A page of another origin could begin uploads: browsers then send Origin, and programs send none.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence

from sandbox.components.edge import haproxy_http
from sandbox.components.edge.route import LOOPBACK, RegistryRoute
from sandbox.engine import Bind

_HOSTS = ("localhost", LOOPBACK, "[::1]")
# Layers pass from socket to socket within the kernel, and the registry makes its own address (Location) from the Host
# of the request.
_SECTIONS = """
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


def render(registries: Sequence[RegistryRoute], listen: Callable[[Sequence[Bind]], str], machine: str) -> str:
    """Return the sections of all registries; `machine` is this machine's address for HAProxy."""
    return "".join(_sections(registry, listen([Bind(*registry.place)]), machine) for registry in registries)


def section(registry: RegistryRoute) -> str:
    return f"registry:{registry.sandbox}"


def _sections(registry: RegistryRoute, listens: str, machine: str) -> str:
    asked = f"ask for this registry as localhost:{registry.port}, and from no web page"
    down = f"the registry of the sandbox {registry.sandbox} does not run"
    return _SECTIONS.format(
        name=section(registry),
        listens=listens,
        hosts=" ".join((*_HOSTS, *registry.names)),
        refusal=_error("DENIED", asked),
        unavailable=_error("UNAVAILABLE", down),
        server=haproxy_http.reached(registry.upstream, machine),
    )


def _error(code: str, message: str) -> str:
    return json.dumps({"errors": [{"code": code, "message": message}]})
