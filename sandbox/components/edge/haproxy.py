"""The edge's HAProxy configuration as text: which file says what, for a set of routes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from sandbox.components.edge import haproxy_http, haproxy_tcp
from sandbox.components.edge.route import Route
from sandbox.components.network import socket_handover
from sandbox.engine import Bind

FOLDER = haproxy_http.FOLDER
PORT = 8443  # published on loopback addresses
OPEN_PORT = 8444  # published on other addresses
COMMAND = ("haproxy", "-W", "-db", "-f", f"{FOLDER}/haproxy.cfg")
CONTROL_PORT = 8445  # for control of the edge, where the engine is on another machine
CONTROL_HOST = "control.sandbox.internal"
CONTROL_KEY = "keys/@control.pem"  # no sandbox can have this name
RUN, SOCKET = "/run/edge", "master.sock"  # the folder of its admin socket, and that
CONFIGURATION = ("haproxy.cfg", "certs.list")
MAPS = ("exact.map", "suffix.map", "terminate.map", "alias.map")
EXACT, SUFFIX = (f"{FOLDER}/{name}" for name in MAPS[:2])

# Splicing takes pipes, and large ones half the processor time. Their files must fit into the 20,000 that some engines
# allow, and their pages into what a user may have (pipe-user-pages-soft of pipe(7), 64 MiB).
# A worker from before a reload lives as long as its connections, so never longer than the longest tunnel.
# A node's name also resolves to IPv6, where its host ports do not answer; its address may change with the engine.
_FRONT = """\
global
  log stdout format raw local0 notice
  maxconn 8192
  maxpipes 128
  tune.pipesize 524288
  thread-hard-limit 4
  hard-stop-after 24h
  ssl-default-bind-options ssl-min-ver TLSv1.2
  mworker-max-reloads {reloads}
{exposed}
defaults
  mode tcp
  log global
  timeout connect 3s
  timeout client 1m
  timeout server 1m
  timeout tunnel 24h
  timeout client-fin 30s
  retries 3
  option redispatch
  option tcp-smart-accept
  option splice-auto

resolvers engine
  parse-resolv-conf
  resolve_retries 3
  timeout resolve 1s
  timeout retry 1s
  hold valid 5s
  hold nx 2s

frontend https
"""

# Workers from before reloads take some 6 MB each. With sockets of the machine's own the edge is replaced before there
# are too many of them, and no connection ends; with the engine's forwarders the oldest have to go.
RELOADS = 100

_ROUTING = f"""\
  tcp-request inspect-delay 5s
  tcp-request content set-var(txn.host) req.ssl_sni,lower
  tcp-request content set-var(txn.to) var(txn.host),map_end({SUFFIX})
  tcp-request content set-var(txn.to) var(txn.host),map_str({EXACT}) if {{ var(txn.host),map_str({EXACT}) -m found }}
  # A client from elsewhere that asks for no known host may have been sent here by DNS rebinding.
  tcp-request content reject if {{ req.ssl_hello_type 1 }} !local !{{ var(txn.to) -m found }}
  tcp-request content accept if {{ req.ssl_hello_type 1 }}
  tcp-request content reject
  use_backend %[var(txn.to)] if {{ var(txn.to) -m found }}
"""

# An ingress that has just started listens before it knows its hosts and certificates. Clients must not see another
# one's meanwhile; a node that is only slow keeps its own.
_PROOF = """\
  option httpchk
  http-check send meth GET uri / ver HTTP/1.1 hdr Host {host}
  http-check expect status 200
  timeout check 5s
"""
# Traefik with TLSRoutes refuses clients that ask for an unknown host without ALPN.
_ASKED = "check-ssl verify none check-alpn http/1.1 check-sni"

# Where the engine forwards a port, its clients seem to be the engine, and only the port tells where they are.
_FORWARDED = f"""\
  bind :{PORT}
  bind :{OPEN_PORT}
  acl local dst_port {PORT}
"""


# The master's socket for a client elsewhere: one that shows the same certificate as the edge.
_CONTROL = f"""
frontend edge:control
  bind :{CONTROL_PORT} ssl crt {FOLDER}/{CONTROL_KEY} ca-file {FOLDER}/{CONTROL_KEY} verify required
  default_backend edge:control

backend edge:control
  server master unix@{RUN}/{SOCKET}
"""


def render(routes: Sequence[Route], held: Sequence[Bind] = (), *, controlled: bool = False) -> Mapping[str, str]:
    """Return the configuration, file name -> content; `routes` are oldest first.

    A client that asks for no known host gets the newest sandbox's page. `held` are the machine's own sockets, which are
    handed to HAProxy; without any, the engine forwards the ports. With `controlled` the master's socket is served by
    TLS. A change of the files in CONFIGURATION takes a reload, one of MAPS does not.
    """
    backends = "".join(_passed(route) for route in routes)
    default = f"  default_backend {routes[-1].name}\n" if routes else ""
    exact, suffixes = dict(_exact(routes)), dict(_suffixes(routes))
    others = {bind for route in routes for port in route.tcp_ports for bind in haproxy_tcp.binds(route, port)}
    https = _listening([bind for bind in held if bind not in others]) if held else _FORWARDED
    control = _CONTROL if controlled else ""
    sections = haproxy_http.render(routes) + haproxy_tcp.render(routes, held)
    front = _FRONT.format(reloads=1_000_000 if held else RELOADS, exposed=socket_handover.EXPOSED if held else "")
    return {
        "haproxy.cfg": front + https + _ROUTING + default + backends + sections + control,
        "certs.list": "".join(f"{FOLDER}/keys/{route.name}.pem\n" for route in routes if route.terminates),
        "exact.map": _map(exact),
        "suffix.map": _map(suffixes),
        "terminate.map": _map(dict(haproxy_http.exact(routes))),
        "alias.map": _map(dict(haproxy_http.suffixes(routes))),
    }


def _listening(held: Sequence[Bind]) -> str:
    return "".join(map(socket_handover.line, held)) + "  acl local src 127.0.0.0/8 ::1\n"


def _passed(route: Route) -> str:
    # Both ends speak the PROXY protocol, so that applications see the client and not this container.
    proof, asked = (_PROOF.format(host=route.proof), f" {_ASKED} {route.proof}") if route.proof else ("", "")
    servers = "".join(
        f"  server {name} {node} send-proxy-v2 {haproxy_http.FOUND} {haproxy_http.CHECKED}{asked}\n"
        for name, node in haproxy_http.servers(route)
    )
    return f"\nbackend {route.name}\n{haproxy_http.NEAR}{proof}{servers}"


def _exact(routes: Sequence[Route]) -> Iterator[tuple[str, str]]:
    for route in routes:
        yield route.domain, route.name
        yield from ((alias, haproxy_http.LOOP) for alias in route.aliases)
    for route in routes:
        for host in route.hosts:
            yield host.host, haproxy_http.LOOP if host.terminate else route.name
        for port in route.tls_hosts:
            yield port.host, haproxy_tcp.section(route, port)


def _suffixes(routes: Sequence[Route]) -> Iterator[tuple[str, str]]:
    for route in routes:
        yield f".{route.domain}", route.name
        yield from ((f".{alias}", haproxy_http.LOOP) for alias in route.aliases)


def _map(entries: Mapping[str, str]) -> str:
    """Return the lines of a map, in which the most specific suffix comes first."""
    return "".join(f"{key} {value}\n" for key, value in sorted(entries.items(), key=lambda one: (-len(one[0]), one[0])))
