"""The part of the edge's configuration where TLS ends: hosts outside the cluster, and further names of a domain.

The first frontend passes such connections to the second through a socket of HAProxy's own, so that one port serves both
kinds.
"""

import re
from collections.abc import Sequence
from string import Template

from sandbox.components.edge import lan_access
from sandbox.components.edge.listening import MACHINE, Place
from sandbox.components.edge.route import LOOPBACK, Host, Route
from sandbox.names import EDGE_ADDRESS
from sandbox.system import files

FOLDER = "/etc/edge"
LOOP = "edge:terminate"  # no sandbox can have this name
# A node that has no address yet is a server without one, and its name is not looked up.
UNRESOLVED = "init-addr none"
CHECKED = "check inter 2s fastinter 200ms downinter 200ms fall 2 rise 1 observe layer4 error-limit 1 on-error fastinter"
# A node accepts a connection at once or not at all. One that restarts must not get TCP's second try a second later: its
# ingress may listen by then and not know its hosts yet.
NEAR = "  timeout connect 900ms\n  retries 10\n"
_OF_THIS_MACHINE = {"localhost", LOOPBACK, "[::1]", "0.0.0.0", MACHINE}  # noqa: S104


def template(file: str, /, **values: str) -> str:
    """Return a file of this package with its `$values`."""
    return Template(files.packaged(__package__, file)).substitute(values)


def render(routes: Sequence[Route], place: Place) -> str:
    """Return the sections for the hosts whose TLS ends at the edge; nothing when there are none."""
    if not any(route.ending for route in routes):
        return ""
    sections = [template("terminate.cfg")]
    for route in routes:
        if route.aliases or any(host.terminate and not host.to for host in route.every_host):
            sections.append(_ingress(route, place))
        sections += [_outside(route, host, place) for host in route.every_host if host.to]
    return "".join(sections)


def backends(routes: Sequence[Route]) -> dict[str, str]:
    """Return the backend of each host and alias whose TLS ends at the edge, by the keys of the map."""
    found: dict[str, str] = {}
    for route in routes:
        found |= {f".{alias}": _name(route) for alias in route.aliases}
        for host in route.every_host:
            names = [host.host] if host.terminate else []
            names += lan_access.renamed([host.host], route.domain, route.aliases) if host.to else []
            found |= {f"^.{name}": backend(route, host) for name in names}
    return found


def backend(route: Route, host: Host) -> str:
    if not host.terminate:
        return route.name
    return f"to:{host.host}" if host.to else _name(route)


def servers(route: Route, place: Place, options: str, *, port: int | None = None) -> str:
    """Return a `server` line for each node of the route, at `port`, or at the port of its ingress.

    `options` may contain the server's {name}.
    """
    lines = []
    for number, node in enumerate(route.nodes):
        name, at = f"node{number or ''}", f"{node.rpartition(':')[0]}:{port}" if port else place.reached(node)
        lines.append(f"  server {name} {at} {options.format(name=name)}\n")
    return "".join(lines)


def _name(route: Route) -> str:
    return f"{route.name}:http"


def _ingress(route: Route, place: Place) -> str:
    """Return the backend that asks the sandbox's ingress as a client would.

    It uses TLS, and HTTP/2 where the ingress has that, for the host in the sandbox's own domain. The traffic stays on
    the engine's bridge, so the certificate is not verified: it may be any. Ingress controllers believe headers about
    the client and the host it asked for only when the edge itself is the client; without an alias they know both by
    themselves.
    """
    own = "".join(
        f"  http-request set-src ipv4({EDGE_ADDRESS}) "
        f"if {{ var(txn.host) -m end .{alias} }} || {{ var(txn.host) -m str {alias} }}\n"
        for alias in route.aliases
    ) + _own_names(route)
    options = (
        "send-proxy-v2 ssl verify none sni req.hdr(host),host_only alpn h2,http/1.1 ws h1 "
        f"{UNRESOLVED} track {route.name}/{{name}}"
    )
    return f"\nbackend {_name(route)}\n  mode http\n{NEAR}  timeout server 1h\n{own}{servers(route, place, options)}"


def _own_names(route: Route) -> str:
    return "".join(
        f"  http-request replace-header Host ^(.*\\.)?{re.escape(alias)}(:[0-9]+)?$ \\1{route.domain}\\2\n"
        for alias in route.aliases
    )


def _outside(route: Route, host: Host, place: Place) -> str:
    name, _, port = (host.to or "").rpartition(":")
    name = LOOPBACK if name in _OF_THIS_MACHINE else name
    server = f"server outside {place.reached(f'{name}:{port}')} init-addr libc,none {CHECKED}"
    return f"\nbackend to:{host.host}\n  mode http\n  timeout server 1h\n{_own_names(route)}  {server}\n"
