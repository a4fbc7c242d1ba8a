"""One request to one host: where it goes, and what is found on the way, each looked at once."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from sandbox.components.certificates.subject_names import check_host
from sandbox.components.edge import routes
from sandbox.components.edge.routes import Route
from sandbox.doctor.doctor_context import Scene
from sandbox.doctor.tls import verifier_rules as rules
from sandbox.doctor.tls.served import Served, handshake, read
from sandbox.doctor.tls.verifier_rules import Rule
from sandbox.engine import Bind
from sandbox.errors import UsageError
from sandbox.kube.api import Cluster
from sandbox.names import EDGE, PASSTHROUGH, Names


@dataclass(frozen=True)
class Match:
    """The route taken for a host, by which rule (`exact`, `suffix` or `default`), and by whom: EDGE or PASSTHROUGH."""

    route: Route
    by: str
    proxy: str


@dataclass(frozen=True)
class Journey:
    """A request to `host`, at `given` or else the port of its sandbox; `named` is whether the user said which one."""

    scene: Scene
    host: str
    given: int | None
    named: bool

    @cached_property
    def match(self) -> Match | None:
        """The route that leads on from this machine; None when there is none at all."""
        home = self.scene.home
        folders = ((EDGE, home.edge), (PASSTHROUGH, home.passthrough))
        found = [match for proxy, folder in folders if (match := choose(routes.load(folder), self.host, proxy))]
        return min(found, key=_is_default, default=None)

    @cached_property
    def names(self) -> Names:
        """The sandbox that the request comes to."""
        return self.scene.home.sandbox(self.match.route.name) if self.match else self.scene.names

    @property
    def which(self) -> str:
        """How a command is told that sandbox."""
        return self.scene.which if self.names == self.scene.names else f" {self.names.name}"

    @property
    def domain(self) -> str:
        """That sandbox's domain."""
        return self.match.route.domain if self.match else self.scene.spec.domain

    @property
    def listen(self) -> tuple[tuple[str, int], ...]:
        """Where the edge listens for that sandbox."""
        proxy = self.scene.spec.proxy
        return self.match.route.listen if self.match else tuple((proxy.listen, port) for port in proxy.ports)

    @property
    def port(self) -> int:
        """The port of this machine that the request goes to."""
        return self.given or self.listen[0][1]

    @property
    def address(self) -> str:
        """The address of this machine that the request goes to."""
        found = next((address for address, port in self.listen if port == self.port), "127.0.0.1")
        return Bind(found, self.port).asked_at

    @cached_property
    def served(self) -> Served:
        """What is presented to a client that asks for the host. Raises OSError."""
        return handshake(self.host, self.address, self.port)

    @cached_property
    def root(self) -> str:
        """The sandbox's root (PEM); empty when there is none."""
        path = self.names.root_certificate
        return path.read_text(encoding="utf-8") if path.exists() else ""

    @cached_property
    def is_ours(self) -> bool:
        """Whether the chain that is presented leads to the sandbox's root."""
        return bool(self.root) and read(self.served, self.root, now=self.scene.now).rooted

    @property
    def cluster(self) -> Cluster:
        """The sandbox's cluster. Raises ClusterError."""
        return Cluster(self.names.kubeconfig)

    @cached_property
    def rules(self) -> tuple[Rule, ...]:
        """What the cluster has for the host. Raises ClusterError."""
        return rules.find(self.cluster, self.host)


def parse(text: str) -> tuple[str, int | None]:
    """A host and the port behind it, if any; a URL's scheme and path are taken off. Raises UsageError."""
    host, colon, port = text.removeprefix("https://").partition("/")[0].rpartition(":")
    if not colon:
        return check_host(port.lower()), None
    if not port.isdigit() or not 0 < int(port) < 65536:
        raise UsageError(
            f"{port!r} is not a port", fix="write HOST or HOST:PORT, as in app.demo.sandbox.localhost:8443"
        )
    return check_host(host.lower()), int(port)


def choose(known: tuple[Route, ...], host: str, proxy: str) -> Match | None:
    """What the configuration of a proxy (`proxy.config`) comes to for `host`; `known` are oldest first."""
    for route in known:
        if host == route.domain:
            return Match(route, "exact", proxy)
    for route in sorted(known, key=lambda route: -len(route.domain)):
        if host.endswith("." + route.domain):
            return Match(route, "suffix", proxy)
    return Match(known[-1], "default", proxy) if known else None


def _is_default(match: Match) -> bool:
    return match.by == "default"
