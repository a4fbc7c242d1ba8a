"""One request to one host: its route, what the server presents, and the cluster's rules for it; each read once."""

import contextlib
import re
import socket
import ssl
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from sandbox.components.certificates.facts import Facts, describe
from sandbox.components.certificates.subject_names import check_host, parse_address
from sandbox.components.edge import routes
from sandbox.components.edge.route import Route
from sandbox.components.ingress import served_hosts, traefik
from sandbox.doctor.check import DoctorContext
from sandbox.engine import Bind
from sandbox.errors import UsageError
from sandbox.kube.api import Cluster
from sandbox.kube.manifests import ingress_hosts
from sandbox.names import Names
from sandbox.plan import saved_spec

TIMEOUT = 5.0
WEB_PROTOCOLS = ("h2", "http/1.1")
# Some servers refuse a client that offers others than theirs (PostgreSQL: SSL Session Encryption, section on ALPN).
SERVICE_PROTOCOLS = ("postgresql", "tds/8.0", "mqtt", *WEB_PROTOCOLS)


@dataclass(frozen=True)
class Served:
    certificate: Facts
    negotiated: str


@dataclass(frozen=True)
class RequestTrace:
    """A request to `host`, at the port `given` or that of its sandbox; `named` tells whether the user named one."""

    context: DoctorContext
    host: str
    given: int | None
    named: bool

    @cached_property
    def route(self) -> Route | None:
        every = routes.load(self.context.home.edge)
        return next((route for route in every if self.host in route.named), None) or routes.holder(every, self.host)

    @cached_property
    def answering_route(self) -> Route | None:
        return self.route or next(reversed(routes.load(self.context.home.edge)), None)

    @property
    def names(self) -> Names:
        return self.context.home.sandbox(self.answering_route.name) if self.answering_route else self.context.names

    @property
    def which(self) -> str:
        return self.context.which if self.names == self.context.names else f" -n {self.names.name}"

    @property
    def domain(self) -> str:
        return self.answering_route.domain if self.answering_route else self.context.spec.domain

    @property
    def listen(self) -> tuple[tuple[str, int], ...]:
        route, edge = self.answering_route, self.context.spec.edge
        return route.listen if route else tuple((edge.listen, port) for port in edge.ports)

    @property
    def port(self) -> int:
        return self.given or self.listen[0][1]

    @property
    def address(self) -> str:
        address = next((address for address, port in self.listen if port == self.port), "127.0.0.1")
        return Bind(address, self.port).asked_at

    @property
    def server(self) -> str:
        hosts = self.route.hosts if self.route else ()
        return next((host.to for host in hosts if host.host == self.host and host.to), "")

    @property
    def service(self) -> str:
        ports = self.route.tls_hosts if self.route else ()
        return next((port.to for port in ports if port.host == self.host), "")

    @cached_property
    def served(self) -> Served:
        """Return what is presented to a client that asks for the host, whatever certificate it is. Raises OSError."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        with self._connected(context) as connection:
            pem = ssl.DER_cert_to_PEM_cert(connection.getpeercert(binary_form=True) or b"")
            version, cipher = connection.version() or "", (connection.cipher() or ("",))[0]
            protocol = connection.selected_alpn_protocol() or "http/1.1"
            return Served(describe(pem.encode(), now=self.context.now), f"{version}, {cipher}, {protocol}")

    def refusal(self, root: Path | None) -> str | None:
        """Return why a strict client refuses the certificate (RFC 5280, the default since Python 3.13), or None.

        It trusts only the file `root`, or the system's trust store for None. Raises OSError.
        """
        context = ssl.create_default_context(cafile=str(root) if root else None)
        context.verify_flags |= ssl.VERIFY_X509_STRICT
        try:
            with self._connected(context):
                return None
        except ssl.SSLCertVerificationError as refused:
            return refused.verify_message

    @contextlib.contextmanager
    def _connected(self, context: ssl.SSLContext) -> Iterator[ssl.SSLSocket]:
        context.set_alpn_protocols(list(SERVICE_PROTOCOLS if self.service else WEB_PROTOCOLS))
        # An address is not a server name (RFC 6066, section 3), but a certificate may be for one.
        name = self.host if context.check_hostname or not parse_address(self.host) else None
        with (
            socket.create_connection((self.address, self.port), timeout=TIMEOUT) as plain,
            context.wrap_socket(plain, server_hostname=name) as connection,
        ):
            yield connection

    @property
    def cluster(self) -> Cluster:
        return Cluster(self.names.kubeconfig)

    @cached_property
    def namespace(self) -> str | None:
        return saved_spec.namespace(self.names)

    @cached_property
    def ingress_class(self) -> str | None:
        spec = saved_spec.load(self.names)
        if spec and spec.ingress.controller == "none":
            return spec.ingress.class_name
        return traefik.CLASS if self.namespace else served_hosts.CLASS

    @property
    def patterns(self) -> tuple[str, str]:
        """Return the hosts by which an Ingress may name this one: itself, and the wildcard for its first label."""
        return self.host, f"*.{self.host.partition('.')[2]}"

    @cached_property
    def ingresses(self) -> Sequence[Mapping[str, Any]]:
        """Return the Ingresses and routes that name the host, else those with its wildcard, else those for any host.

        Routes of the Gateway API have their `kind`. Raises ClusterError.
        """
        every = served_hosts.ingresses(self.cluster, self.namespace, with_routes=self.namespace is None)
        labels = self.host.split(".")
        # The wildcard of a route stands for several labels, that of an Ingress for one.
        for pattern in (self.host, *(f"*.{'.'.join(labels[n:])}" for n in range(1, len(labels)))):
            of_routes = pattern not in self.patterns
            named = [ingress for ingress in every if pattern in ingress_hosts(ingress)]
            if named := [each for each in named if not of_routes or each.get("kind", "Ingress") != "Ingress"]:
                return named
        return [ingress for ingress in every if not any(ingress_hosts(ingress))]


def parse(text: str) -> tuple[str, int | None]:
    """Return a host and its port, if any, without a URL's scheme and path. Raises UsageError."""
    authority = re.split("[/?#]", re.sub("^https?://", "", text, flags=re.IGNORECASE), maxsplit=1)[0]
    if "@" in authority:  # not shown, for it may contain a password
        raise UsageError("a user or a password is given with the host", fix="write HOST or HOST:PORT alone")
    host, colon, port = authority.rpartition(":")
    if not colon:
        return check_host(port.lower()), None
    if not port.isdecimal() or not 0 < int(port) < 65536:
        raise UsageError(
            f"{port!r} is not a port", fix="write HOST or HOST:PORT, as in app.demo.sandbox.localhost:8443"
        )
    return check_host(host.lower()), int(port)
