"""The edge's HAProxy configuration as text: which file says what, for a set of routes."""

import json
from collections.abc import Mapping, Sequence

from sandbox.components.edge import haproxy_http, listening
from sandbox.components.edge.haproxy_http import CHECKED, LOOP, NEAR, UNRESOLVED, servers, template
from sandbox.components.edge.listening import HTTPS, OPEN_PORT, PORT, TCP, Place, section
from sandbox.components.edge.route import LOOPBACK, Port, RegistryRoute, Route
from sandbox.engine import Bind
from sandbox.system import host_network

FOLDER = haproxy_http.FOLDER
COMMAND = ("haproxy", "-W", "-db", "-f", f"{FOLDER}/haproxy.cfg")
RUN, SOCKET = "/run/edge", "master.sock"  # the folder of its admin socket, and that
NOGROUP = 65532  # of the workers in the host's network

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


def render(routes: Sequence[Route], registries: Sequence[RegistryRoute], place: Place) -> Mapping[str, str]:
    """Return the configuration, file name -> content; `routes` are oldest first.

    A client that asks for an unknown host gets the newest sandbox's page.
    """
    user = "" if place.user is None else f"  uid {place.user}\n  gid {NOGROUP}\n"
    sections = [template("global.cfg", user=user)]
    frontends = listening.frontends(routes, registries, place)
    binds = {name: "".join(_line(name, bind, place) for bind in each) for name, each in frontends.items()}
    if HTTPS in binds:
        listens = binds[HTTPS] + "  acl local src 127.0.0.0/8 ::1\n" if place.host else _PUBLISHED
        sections.append(template("https.cfg", listens=listens, newest=routes[-1].name))
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

    return template(
        "registry.cfg",
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
