"""The steps that connect this machine's ports with a sandbox's ingress: by the edge's container, or by the relay."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from sandbox.components.edge import routes
from sandbox.components.edge.host_ports import HostPorts, Target, publish
from sandbox.components.edge.relay import Relay
from sandbox.components.edge.route import Host, Port, Route, Tunnel
from sandbox.components.edge.shared_edge import Edge
from sandbox.engine import Bind, Engine
from sandbox.errors import SandboxError
from sandbox.kube.api import Cluster
from sandbox.names import Names
from sandbox.step import NothingToUndo, State, Status, Work


@dataclass(frozen=True, kw_only=True)
class EdgeStep:
    """The sandbox's route in the edge's container.

    It leads to `nodes` on `network`, looked up when needed, at each of which the ingress answers, for `proof` too.
    """

    engine: Engine
    names: Names
    nodes: Callable[[], tuple[str, ...]]
    image: str
    domain: str
    binds: tuple[Bind, ...]
    network: str
    hosts: tuple[Host, ...] = ()
    aliases: tuple[str, ...] = ()
    proof: str = ""
    ports: tuple[Port, ...] = ()
    name: str = "edge"
    requires: tuple[str, ...] = ("images", "network", "certificates")
    after: tuple[str, ...] = ("registry",)  # the engine has a node to make first; the edge is not checked yet

    @property
    def title(self) -> str:
        return f"Edge on {', '.join(map(str, self.binds))}"

    def check(self) -> Status:
        return self._edge.status(self._route())

    def apply(self, work: Work) -> None:
        self._edge.publish(self._route(), work.say)

    def undo(self) -> bool:
        return self._edge.withdraw(self.network)

    @property
    def _edge(self) -> Edge:
        return Edge(self.engine, self.names, self.image)

    def _route(self) -> Route:
        first, *others = self.nodes()
        return Route(
            self.names.name,
            self.domain,
            first,
            _listen(self.binds),
            replicas=tuple(others),
            hosts=self.hosts,
            aliases=self.aliases,
            network=self.network,
            proof=self.proof,
            ports=self.ports,
        )


@dataclass(frozen=True)
class PortsStep(NothingToUndo):
    """The sandbox's ports, routed to Services; they go with the cluster and the route."""

    engine: Engine
    names: Names
    image: str
    name: str = "ports"
    requires: tuple[str, ...] = ("cluster", "edge")
    after: tuple[str, ...] = ("context", "charts", "apply")
    title: str = "Ports of Services"

    def check(self) -> Status:
        route = self._route
        if route is None:
            return Status(State.ABSENT)
        return HostPorts(self.names).status(route.every_port, dict(route.node_ports))

    def apply(self, work: Work) -> None:
        route = self._route
        for missing in publish(Edge(self.engine, self.names, self.image), route.every_port) if route else ():
            work.say(missing)

    @property
    def _route(self) -> Route | None:
        return routes.find(routes.load(self.names.home.edge), self.names.name)


@dataclass(frozen=True, kw_only=True)
class RelayStep:
    """The sandbox's route in the relay, where containers cannot reach the cluster."""

    names: Names
    domain: str
    binds: tuple[Bind, ...]
    upstream: str
    kubectl: Path
    tunnels: tuple[Tunnel, ...] = ()
    ports: tuple[Port, ...] = ()
    name: str = "edge"
    requires: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        tunnels = (Bind(one.address, one.port) for one in self.tunnels)
        return f"Relay on {', '.join(map(str, (*self.binds, *tunnels)))}"

    def check(self) -> Status:
        return self._relay.status(self._route)

    def apply(self, work: Work) -> None:
        self._relay.publish(self._route, self.kubectl)

    def undo(self) -> bool:
        return self._relay.withdraw(self.names.name)

    @property
    def _relay(self) -> Relay:
        return Relay(self.names.home)

    @property
    def _route(self) -> Route:
        listen = _listen(self.binds)
        return Route(self.names.name, self.domain, self.upstream, listen, tunnels=self.tunnels, ports=self.ports)


@dataclass(frozen=True)
class ForwardedPortsStep(NothingToUndo):
    """The right to port-forwards that the relay's tunnels to Services need, in a sandbox's one namespace."""

    names: Names
    namespace: str
    ports: tuple[Port, ...]
    name: str = "ports"
    requires: tuple[str, ...] = ("cluster", "edge")
    after: tuple[str, ...] = ("apply",)
    title: str = "Ports of Services"

    def check(self) -> Status:
        cluster = Cluster(self.names.kubeconfig)
        if not _may_forward(cluster, self.namespace):
            return Status(State.ABSENT, f"port-forwards are not allowed in {self.namespace}")
        services = dict.fromkeys(Target.parse(one.to).service for one in self.ports)
        missing = [one for one in services if cluster.get("v1", "Service", one, self.namespace) is None]
        said = (f"there is no Service {one} in {self.namespace}" for one in missing)
        return Status(State.READY, "; ".join((", ".join(f"{one} → {one.to}" for one in self.ports), *said)))

    def apply(self, work: Work) -> None:
        if not _may_forward(Cluster(self.names.kubeconfig), self.namespace):
            raise SandboxError(
                f"you may not forward ports in the namespace {self.namespace}",
                details="ports of Services go through the API server: get on services, create on pods/portforward",
                fix="ask for these rights (docs/existing.md has the Role), or leave `edge.tcp` out",
                id="port-forward-denied",
            )


def _may_forward(cluster: Cluster, namespace: str) -> bool:
    rights = (("get", "services"), ("create", "pods/portforward"))
    return all(cluster.may(verb, "", resource, namespace) for verb, resource in rights)


def _listen(binds: tuple[Bind, ...]) -> tuple[tuple[str, int], ...]:
    return tuple((bind.address, bind.port) for bind in binds)
