"""The edge's HAProxy configuration as text: which file says what, for a set of routes."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from sandbox.components.edge import haproxy_http, listening
from sandbox.components.edge.haproxy_http import CHECKED, LOOKUP, LOOP, NEAR, UNRESOLVED, servers
from sandbox.components.edge.listening import HTTPS, OPEN_PORT, PORT, TCP, Place, section
from sandbox.components.edge.route import LOOPBACK, Port, RegistryRoute, Route
from sandbox.engine import Bind
from sandbox.system import host_network

FOLDER = haproxy_http.FOLDER
COMMAND = ("haproxy", "-W", "-db", "-f", f"{FOLDER}/haproxy.cfg")
RUN, SOCKET = "/run/edge", "master.sock"  # the folder of its admin socket, and that
NOGROUP = 65532  # of the workers in the host's network

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
"""

_ROUTING = f"""\
  tcp-request inspect-delay 5s
  tcp-request content set-var(txn.host) req.ssl_sni,lower
  tcp-request content {LOOKUP.format(map="hosts.map")}
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
# CNCF distribution ignores the Host of a request, so a web page whose name was made to lead to 127.0.0.1 (DNS
# rebinding) could push to it. A page of another origin could begin uploads: browsers then send Origin, programs do not.
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


def render(routes: Sequence[Route], registries: Sequence[RegistryRoute], place: Place) -> Mapping[str, str]:
    """Return the configuration, file name -> content; `routes` are oldest first.

    A client that asks for an unknown host gets the newest sandbox's page.
    """
    user = "" if place.user is None else f"  uid {place.user}\n  gid {NOGROUP}\n"
    sections = [_GLOBAL.format(user=user)]
    frontends = listening.frontends(routes, registries, place)
    binds = {name: "".join(_line(name, bind, place) for bind in each) for name, each in frontends.items()}
    if HTTPS in binds:
        listens = binds[HTTPS] + "  acl local src 127.0.0.0/8 ::1\n" if place.host else _PUBLISHED
        sections.append(f"\nfrontend {HTTPS}\n{listens}{_ROUTING}  default_backend {routes[-1].name}\n")
    for name, lines in binds.items():
        if name.startswith(TCP):
            sections.append(f"\nfrontend {name}\n{lines}  default_backend {name}\n")
    for route in routes:
        sections.append(_passed(route, place))
        sections += [f"\nbackend {section(route, port)}\n{_service(route, port, place)}" for port in route.every_port]
    sections.append(haproxy_http.render(routes, place))
    sections += [_registry(registry, binds.get(registry.section, ""), place) for registry in registries]
    hosts: dict[str, str] = {}
    for route in routes:
        hosts |= {f".{route.domain}": route.name, **{f".{alias}": LOOP for alias in route.aliases}}
        hosts |= {f"^.{host.host}": LOOP if host.terminate else route.name for host in route.every_host}
        hosts |= {f"^.{port.host}": section(route, port) for port in route.tls_hosts}
    return {
        "haproxy.cfg": "".join(sections),
        "certs.list": "".join(f"{FOLDER}/keys/{route.name}.pem\n" for route in routes if route.ending),
        "hosts.map": _map(hosts),
        "terminate.map": _map(haproxy_http.backends(routes)),
    }


def _line(frontend: str, bind: Bind, place: Place) -> str:
    if not place.host:
        return f"  bind :{listening.inner(frontend, bind)}\n"
    only = " v6only" if ":" in bind.address else ""
    return f"  bind {host_network.authority(bind.address, bind.port)}{only}\n"


def _passed(route: Route, place: Place) -> str:
    if not route.proxied:
        return f"\nbackend {route.name}\n{NEAR}{servers(route, place, 'init-addr libc,none')}"
    # Both ends speak the PROXY protocol, so that applications see the client and not this container.
    proof, options = "", f"send-proxy-v2 {UNRESOLVED} {CHECKED}"
    if route.proof:
        proof = _PROOF.format(host=route.proof)
        # Traefik with TLSRoutes refuses clients that ask for an unknown host without ALPN.
        options += f" check-ssl verify none check-alpn http/1.1 check-sni {route.proof}"
    return f"\nbackend {route.name}\n{NEAR}{proof}{servers(route, place, options)}"


def _service(route: Route, port: Port, place: Place) -> str:
    """Return the servers of a Service: its port of every node (NodePort), without health checks.

    Some servers lock out clients that connect and say nothing (MySQL's max_connect_errors). A failed connection is
    tried on the next node.
    """
    if forward := route.forward(port.to):
        return f"{NEAR}  server forward {place.reached(forward)}\n"
    number = dict(route.node_ports).get(port.to)
    if number is None:
        return ""  # clients are refused until the Service is known
    header = "send-proxy-v2 " if port.proxy else ""
    nodes = servers(route, place, f"{header}{UNRESOLVED}", port=number)
    return f"{NEAR}  option redispatch 1\n  option tcpka\n{nodes}"


def _registry(registry: RegistryRoute, listens: str, place: Place) -> str:
    def error(code: str, message: str) -> str:
        return json.dumps({"errors": [{"code": code, "message": message}]})

    return _REGISTRY.format(
        name=registry.section,
        listens=listens,
        hosts=" ".join(("localhost", LOOPBACK, "[::1]", *registry.names)),
        refusal=error("DENIED", f"ask for this registry as localhost:{registry.port}, and from no web page"),
        unavailable=error("UNAVAILABLE", f"the registry of the sandbox {registry.sandbox} does not run"),
        server=place.reached(registry.upstream),
    )


def _map(entries: Mapping[str, str]) -> str:
    """Return a map file with the longest keys first, because HAProxy uses the first key that matches."""
    return "".join(
        f"{key} {value}\n" for key, value in sorted(entries.items(), key=lambda entry: (-len(entry[0]), entry[0]))
    )
