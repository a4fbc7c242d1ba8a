"""The edge's HAProxy configuration as text: which file says what, for a set of routes.

TLS ends at the edge for hosts outside the cluster, and for further names of a domain. The first frontend passes such
connections to a second one through a socket of HAProxy's own, so that one port serves both kinds.
"""

import json
import re
from collections.abc import Mapping, Sequence
from string import Template

from sandbox.components.edge import lan_access, listening
from sandbox.components.edge.listening import HTTPS, MACHINE, OPEN_PORT, PORT, TCP, Place, section
from sandbox.components.edge.route import LOOPBACK, Host, Port, RegistryRoute, Route
from sandbox.engine import Bind
from sandbox.names import EDGE_ADDRESS
from sandbox.system import files, host_network

FOLDER = "/etc/edge"
COMMAND = ("haproxy", "-W", "-db", "-f", f"{FOLDER}/haproxy.cfg")
RUN, SOCKET = "/run/edge", "master.sock"  # the folder of its admin socket, and that
NOGROUP = 65532  # of the workers in the host's network
LOOP = "edge:terminate"  # no sandbox can have this name
# A node that has no address yet is a server without one, and its name is not looked up.
UNRESOLVED = "init-addr none"
CHECKED = "check inter 2s fastinter 200ms downinter 200ms fall 2 rise 1 observe layer4 error-limit 1 on-error fastinter"
# A node accepts a connection at once or not at all. One that restarts must not get TCP's second try a second later: its
# ingress may listen by then and not know its hosts yet.
NEAR = "  timeout connect 900ms\n  retries 10\n"
_OF_THIS_MACHINE = {"localhost", LOOPBACK, "[::1]", "0.0.0.0", MACHINE}  # noqa: S104

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
    sections = [_template("global.cfg", user=user)]
    frontends = listening.frontends(routes, registries, place)
    binds = {name: "".join(_line(name, bind, place) for bind in each) for name, each in frontends.items()}
    if HTTPS in binds:
        listens = binds[HTTPS] + "  acl local src 127.0.0.0/8 ::1\n" if place.host else _PUBLISHED
        sections.append(_template("https.cfg", listens=listens, newest=routes[-1].name))
    for name, lines in binds.items():
        if name.startswith(TCP):
            sections.append(f"\nfrontend {name}\n{lines}  default_backend {name}\n")
    for route in routes:
        sections.append(_passed(route, place))
        sections += [f"\nbackend {section(route, port)}\n{_service(route, port, place)}" for port in route.every_port]
    if any(route.ending for route in routes):
        sections.append(_template("terminate.cfg"))
        for route in routes:
            if route.aliases or any(host.terminate and not host.to for host in route.every_host):
                sections.append(_ingress(route, place))
            sections += [_outside(route, host, place) for host in route.every_host if host.to]
    sections += [_registry(registry, binds.get(registry.section, ""), place) for registry in registries]
    hosts, ending = dict[str, str](), dict[str, str]()
    for route in routes:
        hosts |= {f".{route.domain}": route.name, **{f".{alias}": LOOP for alias in route.aliases}}
        hosts |= {f"^.{host.host}": LOOP if host.terminate else route.name for host in route.every_host}
        hosts |= {f"^.{port.host}": section(route, port) for port in route.tls_hosts}
        ending |= {f".{alias}": _ingress_of(route) for alias in route.aliases}
        for host in route.every_host:
            names = [host.host] if host.terminate else []
            names += lan_access.renamed([host.host], route.domain, route.aliases) if host.to else []
            ending |= {f"^.{name}": backend(route, host) for name in names}
    return {
        "haproxy.cfg": "".join(sections),
        "certs.list": "".join(f"{FOLDER}/keys/{route.name}.pem\n" for route in routes if route.ending),
        "hosts.map": _map(hosts),
        "terminate.map": _map(ending),
    }


def backend(route: Route, host: Host) -> str:
    if not host.terminate:
        return route.name
    return f"to:{host.host}" if host.to else _ingress_of(route)


def _template(file: str, /, **values: str) -> str:
    return Template(files.packaged(__package__, file)).substitute(values)


def _line(frontend: str, bind: Bind, place: Place) -> str:
    if not place.host:
        return f"  bind :{listening.inner(frontend, bind)}\n"
    only = " v6only" if ":" in bind.address else ""
    return f"  bind {host_network.authority(bind.address, bind.port)}{only}\n"


def _passed(route: Route, place: Place) -> str:
    if not route.proxied:
        return f"\nbackend {route.name}\n{NEAR}{_servers(route, place, 'init-addr libc,none')}"
    # Both ends speak the PROXY protocol, so that applications see the client and not this container.
    proof, options = "", f"send-proxy-v2 {UNRESOLVED} {CHECKED}"
    if route.proof:
        proof = _PROOF.format(host=route.proof)
        # Traefik with TLSRoutes refuses clients that ask for an unknown host without ALPN.
        options += f" check-ssl verify none check-alpn http/1.1 check-sni {route.proof}"
    return f"\nbackend {route.name}\n{NEAR}{proof}{_servers(route, place, options)}"


def _service(route: Route, port: Port, place: Place) -> str:
    # A port of every node (NodePort). Without health checks, since some servers lock out clients that connect and say
    # nothing (MySQL's max_connect_errors). A failed connection is tried on the next node.
    if forward := route.forward(port.to):
        return f"{NEAR}  server forward {place.reached(forward)}\n"
    number = dict(route.node_ports).get(port.to)
    if number is None:
        return ""  # clients are refused until the Service is known
    header = "send-proxy-v2 " if port.proxy else ""
    nodes = _servers(route, place, f"{header}{UNRESOLVED}", port=number)
    return f"{NEAR}  option redispatch 1\n  option tcpka\n{nodes}"


def _servers(route: Route, place: Place, options: str, *, port: int | None = None) -> str:
    # At `port` of each node, or at the port of its ingress. The options may contain the server's {name}.
    lines = []
    for number, node in enumerate(route.nodes):
        name, at = f"node{number or ''}", f"{node.rpartition(':')[0]}:{port}" if port else place.reached(node)
        lines.append(f"  server {name} {at} {options.format(name=name)}\n")
    return "".join(lines)


def _ingress_of(route: Route) -> str:
    return f"{route.name}:http"


def _ingress(route: Route, place: Place) -> str:
    # The ingress is asked as a client would ask it: by TLS, and HTTP/2 where it has that, for the host in the sandbox's
    # own domain. The traffic stays on the engine's bridge, so the certificate is not verified: it may be any. Ingress
    # controllers believe headers about the client and the host it asked for only when the edge itself is the client;
    # without an alias they know both by themselves.
    own = "".join(
        f"  http-request set-src ipv4({EDGE_ADDRESS}) "
        f"if {{ var(txn.host) -m end .{alias} }} || {{ var(txn.host) -m str {alias} }}\n"
        for alias in route.aliases
    ) + _own_names(route)
    options = (
        "send-proxy-v2 ssl verify none sni req.hdr(host),host_only alpn h2,http/1.1 ws h1 "
        f"{UNRESOLVED} track {route.name}/{{name}}"
    )
    servers = _servers(route, place, options)
    return f"\nbackend {_ingress_of(route)}\n  mode http\n{NEAR}  timeout server 1h\n{own}{servers}"


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


def _registry(registry: RegistryRoute, listens: str, place: Place) -> str:
    def error(code: str, message: str) -> str:
        return json.dumps({"errors": [{"code": code, "message": message}]})

    return _template(
        "registry.cfg",
        name=registry.section,
        listens=listens,
        hosts=" ".join(("localhost", LOOPBACK, "[::1]", *registry.names)),
        refusal=error("DENIED", f"ask for this registry as localhost:{registry.port}, and from no web page"),
        unavailable=error("UNAVAILABLE", f"the registry of the sandbox {registry.sandbox} does not run"),
        server=place.reached(registry.upstream),
    )


def _map(entries: Mapping[str, str]) -> str:
    # The longest keys come first, because HAProxy uses the first key that matches.
    return "".join(
        f"{key} {value}\n" for key, value in sorted(entries.items(), key=lambda entry: (-len(entry[0]), entry[0]))
    )
