"""One request to one host: its route, what the server presents, and the cluster's rules for it; each read once."""

from __future__ import annotations

import re
import socket
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from itertools import pairwise
from typing import Any

from sandbox.components.certificates import pem, subject_names
from sandbox.components.certificates.facts import Facts, describe
from sandbox.components.certificates.subject_names import check_host
from sandbox.components.edge import routes
from sandbox.components.edge.route import Route
from sandbox.components.ingress import controller, traefik
from sandbox.doctor.doctor_context import DoctorContext
from sandbox.doctor.tls import cluster_rules as rules
from sandbox.doctor.tls.cluster_rules import Rule
from sandbox.engine import Bind
from sandbox.errors import UsageError
from sandbox.kube.api import Cluster
from sandbox.names import Names
from sandbox.plan import providers, saved_spec

TIMEOUT = 5.0
OF_WEB = ("h2", "http/1.1")
# Some servers refuse a client that offers others than theirs (PostgreSQL: SSL Session Encryption, section on ALPN).
OF_SERVICES = ("postgresql", "tds/8.0", "mqtt", *OF_WEB)
_AUTHORITY = re.compile(r"(?:https?://)?([^/?#]*).*", re.DOTALL | re.IGNORECASE)  # of a URL, as browsers show one


@dataclass(frozen=True)
class Match:
    """A host's route, and the rule that chose it: `exact`, `suffix` or `default`.

    `name` is the route's host or domain that fits.
    """

    route: Route
    by: str
    name: str


@dataclass(frozen=True)
class RequestTrace:
    """A request to `host`, at the port `given` or that of its sandbox; `named` tells whether the user named one."""

    context: DoctorContext
    host: str
    given: int | None
    named: bool

    @cached_property
    def match(self) -> Match | None:
        """Return the route for the host; None if the edge has no routes."""
        return choose(routes.load(self.context.home.edge), self.host)

    @cached_property
    def names(self) -> Names:
        return self.context.home.sandbox(self.match.route.name) if self.match else self.context.names

    @property
    def which(self) -> str:
        return self.context.which if self.names == self.context.names else f" -n {self.names.name}"

    @property
    def domain(self) -> str:
        return self.match.route.domain if self.match else self.context.spec.domain

    @property
    def listen(self) -> tuple[tuple[str, int], ...]:
        edge = self.context.spec.edge
        return self.match.route.listen if self.match else tuple((edge.listen, port) for port in edge.ports)

    @property
    def port(self) -> int:
        return self.given or self.listen[0][1]

    @property
    def address(self) -> str:
        found = next((address for address, port in self.listen if port == self.port), "127.0.0.1")
        return Bind(found, self.port).asked_at

    @cached_property
    def served(self) -> Served:
        """Return what is presented to a client that asks for the host. Raises OSError."""
        return handshake(self.host, self.address, self.port, OF_SERVICES if self.service else OF_WEB)

    @cached_property
    def root(self) -> str:
        path = self.names.root_certificate
        return path.read_text(encoding="utf-8") if path.exists() else ""

    @cached_property
    def is_ours(self) -> bool:
        return bool(self.root) and read(self.served, self.root).rooted

    @property
    def server(self) -> str:
        hosts = self.match.route.hosts if self.match else ()
        return next((one.to for one in hosts if one.host == self.host and one.to), "")

    @property
    def service(self) -> str:
        ports = self.match.route.tls_hosts if self.match else ()
        return next((one.to for one in ports if one.host == self.host), "")

    @property
    def cluster(self) -> Cluster:
        """Return the sandbox's cluster. Raises ClusterError."""
        return Cluster(self.names.kubeconfig)

    @cached_property
    def namespace(self) -> str | None:
        """Return the only namespace that the sandbox may use. Raises SandboxError."""
        return providers.namespace(self.names)

    @cached_property
    def ingress_class(self) -> str | None:
        """Return the class of the Ingresses that the sandbox serves; None where it is left to the user's controller.

        Raises SandboxError.
        """
        spec = saved_spec.load(self.names)
        if spec and spec.ingress.controller == "none":
            return spec.ingress.class_name
        return traefik.CLASS if self.namespace else controller.CLASS

    @cached_property
    def rules(self) -> tuple[Rule, ...]:
        """Return what the cluster has for the host. Raises ClusterError."""
        return rules.find(self.cluster, self.host, self.namespace)


def parse(text: str) -> tuple[str, int | None]:
    """Return a host and its port, if any, without a URL's scheme and path. Raises UsageError."""
    host, colon, port = _AUTHORITY.sub(r"\1", text).rpartition(":")
    if not colon:
        return check_host(port.lower()), None
    if not port.isdecimal() or not 0 < int(port) < 65536:
        raise UsageError(
            f"{port!r} is not a port", fix="write HOST or HOST:PORT, as in app.demo.sandbox.localhost:8443"
        )
    return check_host(host.lower()), int(port)


def choose(known: tuple[Route, ...], host: str) -> Match | None:
    """Return the route that the edge's configuration chooses for `host`; `known` are sorted from the oldest."""
    for route in known:
        if host in route.named or host in route.domains:
            return Match(route=route, by="exact", name=host)
    domains = [(domain, route) for route in known for domain in route.domains]
    for domain, route in sorted(domains, key=lambda each: -len(each[0])):
        if host.endswith("." + domain):
            return Match(route=route, by="suffix", name=domain)
    return Match(route=known[-1], by="default", name=known[-1].domain) if known else None


@dataclass(frozen=True)
class Served:
    """The chain that the server presented (PEM, its own certificate first), and the negotiated protocol."""

    chain: tuple[str, ...]
    version: str
    cipher: str
    protocol: str

    def facts(self, *, now: datetime) -> tuple[Facts, ...]:
        """Return the facts of each certificate in the chain."""
        return tuple(describe(one.encode(), now=now) for one in self.chain)


@dataclass(frozen=True)
class Reading:
    """A chain compared with a root: whether it ends there, where it breaks, and which hosts are not permitted."""

    rooted: bool
    broken: str = ""
    outside: str = ""


def handshake(host: str, address: str, port: int, protocols: Sequence[str] = OF_WEB) -> Served:
    """Connect to `address`:`port`, ask for `host` by one of the protocols (ALPN), and accept any certificate.

    Raises OSError.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(list(protocols))
    # An address is not a server name (RFC 6066, section 3).
    name = None if subject_names.parse_address(host) else host
    with (
        socket.create_connection((address, port), timeout=TIMEOUT) as plain,
        context.wrap_socket(plain, server_hostname=name) as connection,
    ):
        cipher = connection.cipher()
        return Served(
            _chain(connection),
            connection.version() or "",
            cipher[0] if cipher else "",
            connection.selected_alpn_protocol() or "http/1.1",
        )


def read(served: Served, root_pem: str) -> Reading:
    """Follow the chain from the server's own certificate to the root in `root_pem`."""
    chain = [pem.load_certificates(one.encode())[0] for one in served.chain]
    root = pem.load_certificates(root_pem.encode())[0]
    whole = chain[-1] == root
    path = chain if whole else [*chain, root]
    for signed, signer in pairwise(path):
        if not pem.is_signed_by(signed, signer):
            if signer == root and not whole:
                return Reading(False)
            return Reading(
                False, broken=f"{_title(signed.subject)} is not signed by the next, {_title(signer.subject)}"
            )
    hosts = pem.hosts_of(chain[0])
    for authority in path[1:]:
        permitted = pem.permitted_domains(authority)
        outside = [host for host in hosts if permitted and not subject_names.is_inside(host, permitted)]
        if outside:
            may_not = f"{_title(authority.subject)} is limited to {', '.join(permitted)}"
            return Reading(True, outside=f"{may_not}, not for {', '.join(outside)}")
    return Reading(True)


def _title(subject: Any) -> str:
    return str(subject.rfc4514_string()) or "the server's certificate"


def _chain(connection: ssl.SSLSocket) -> tuple[str, ...]:
    # Public since Python 3.13, as DER; before that, only the object below the socket has it.
    if hasattr(connection, "get_unverified_chain"):
        return tuple(ssl.DER_cert_to_PEM_cert(der) for der in connection.get_unverified_chain())
    found = connection._sslobj.get_unverified_chain()  # type: ignore[attr-defined]
    return tuple(one.public_bytes() for one in found or ())
