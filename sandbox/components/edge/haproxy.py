"""The edge's HAProxy configuration as text: which file says what, for a set of routes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from sandbox.components.edge import haproxy_http, haproxy_ports, listening
from sandbox.components.edge.listening import OPEN_PORT, PORT
from sandbox.components.edge.route import LOOPBACK, RegistryRoute, Route
from sandbox.engine import Bind
from sandbox.system import host_network

FOLDER = haproxy_http.FOLDER
COMMAND = ("haproxy", "-W", "-db", "-f", f"{FOLDER}/haproxy.cfg")
RUN, SOCKET = "/run/edge", "master.sock"  # the folder of its admin socket, and that
NOGROUP = 65532  # of the workers in the host's network
EXACT, SUFFIX = f"{FOLDER}/exact.map", f"{FOLDER}/suffix.map"

# Splicing takes pipes, and large ones half the processor time. Their files must fit into the 20,000 that some engines
# allow, and their pages into what a user may have (pipe-user-pages-soft of pipe(7), 64 MiB).
# A worker from before a reload lives as long as its connections, so never longer than the longest tunnel, and takes
# some 6 MB. With `noreuseport` a port that another HAProxy has is refused, instead of shared with it; a reload passes
# the listening sockets on to the new worker.
_GLOBAL = """\
global
  log stdout format raw local0 notice
{user}  noreuseport
  maxconn 8192
  maxpipes 128
  tune.pipesize 524288
  thread-hard-limit 4
  hard-stop-after 24h
  ssl-default-bind-options ssl-min-ver TLSv1.2
  mworker-max-reloads 100

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

resolvers machine
  parse-resolv-conf
  resolve_retries 3
  timeout resolve 1s
  timeout retry 1s
  hold valid 5s
  hold nx 2s
"""

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
# Where the engine publishes a port, its clients seem to be the engine, and only the port tells where they are.
_PUBLISHED = f"""\
  bind :{PORT}
  bind :{OPEN_PORT}
  acl local dst_port {PORT}
"""


@dataclass(frozen=True)
class Place:
    """Where HAProxy runs: in the `host` network of this machine, or in a container that publishes ports.

    In the host's network it starts as root, because of low ports, and its workers run as `user`; with `ipv6` it listens
    on ::1 too where it listens on 127.0.0.1. `closed` ports of routes are left out.
    """

    host: bool
    ipv6: bool = False
    user: int | None = None
    closed: frozenset[int] = frozenset()

    def listen(self, binds: Sequence[Bind]) -> str:
        """Return the lines for the places, which lead to one port of the container where the engine publishes it."""
        if not self.host:
            return f"  bind :{listening.inner(binds[0])}\n"
        return "".join(_line(bind) for bind in binds if bind.port not in self.closed)


def render(routes: Sequence[Route], registries: Sequence[RegistryRoute], place: Place) -> Mapping[str, str]:
    """Return the configuration, file name -> content; `routes` are oldest first.

    A client that asks for an unknown host gets the newest sandbox's page.
    """
    machine = LOOPBACK if place.host else haproxy_http.MACHINE
    user = "" if place.user is None else f"  uid {place.user}\n  gid {NOGROUP}\n"
    sections = [_GLOBAL.format(user=user)]
    if binds := listening.https(routes, ipv6=place.ipv6):
        listens = place.listen(binds) + "  acl local src 127.0.0.0/8 ::1\n" if place.host else _PUBLISHED
        sections.append(f"\nfrontend https\n{listens}{_ROUTING}  default_backend {routes[-1].name}\n")
    sections += [_passed(route, machine) for route in routes]
    sections.append(haproxy_http.render(routes, machine))
    sections.append(haproxy_ports.services(routes, place.listen, machine, ipv6=place.ipv6))
    sections.append(haproxy_ports.registries(registries, place.listen, machine))
    suffixes: dict[str, str] = {}
    for route in routes:
        suffixes |= {f".{route.domain}": route.name, **{f".{alias}": haproxy_http.LOOP for alias in route.aliases}}
    return {
        "haproxy.cfg": "".join(sections),
        "certs.list": "".join(f"{FOLDER}/keys/{route.name}.pem\n" for route in routes if route.ending),
        "exact.map": _map(dict(_exact(routes))),
        "suffix.map": _map(suffixes),
        "terminate.map": _map(dict(haproxy_http.exact(routes))),
        "alias.map": _map(haproxy_http.suffixes(routes)),
    }


def _line(bind: Bind) -> str:
    only = " v6only" if ":" in bind.address else ""
    return f"  bind {host_network.authority(bind.address, bind.port)}{only}\n"


def _passed(route: Route, machine: str) -> str:
    if not route.proxied:
        reached = ((name, haproxy_http.reached(node, machine)) for name, node in haproxy_http.servers(route))
        servers = "".join(f"  server {name} {node} init-addr libc,none\n" for name, node in reached)
        return f"\nbackend {route.name}\n{haproxy_http.NEAR}{servers}"
    # Both ends speak the PROXY protocol, so that applications see the client and not this container.
    proof = _PROOF.format(host=route.proof) if route.proof else ""
    # Traefik with TLSRoutes refuses clients that ask for an unknown host without ALPN.
    asked = f" check-ssl verify none check-alpn http/1.1 check-sni {route.proof}" if route.proof else ""
    servers = "".join(
        f"  server {name} {node} send-proxy-v2 {haproxy_http.UNRESOLVED} {haproxy_http.CHECKED}{asked}\n"
        for name, node in haproxy_http.servers(route)
    )
    return f"\nbackend {route.name}\n{haproxy_http.NEAR}{proof}{servers}"


def _exact(routes: Sequence[Route]) -> Iterator[tuple[str, str]]:
    for route in routes:
        yield route.domain, route.name
        yield from ((alias, haproxy_http.LOOP) for alias in route.aliases)
    for route in routes:
        for host in route.every_host:
            yield host.host, haproxy_http.LOOP if host.terminate else route.name
        for port in route.tls_hosts:
            yield port.host, haproxy_ports.section(route, port)


def _map(entries: Mapping[str, str]) -> str:
    return "".join(
        f"{key} {value}\n" for key, value in sorted(entries.items(), key=lambda entry: (-len(entry[0]), entry[0]))
    )
