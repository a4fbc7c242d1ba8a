"""The steps that connect this machine's ports with a sandbox's ingress and Services."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from sandbox.components.edge import forwarder, host_ports, routes
from sandbox.components.edge.host_ports import Target
from sandbox.components.edge.route import Port, RegistryRoute, Route
from sandbox.components.edge.shared_edge import Edge
from sandbox.engine import Bind, Engine
from sandbox.errors import SandboxError
from sandbox.kube.api import Cluster
from sandbox.names import Names
from sandbox.step import NothingToUndo, State, Status, Work
from sandbox.system.wait import wait_until

TIMEOUT = 60.0  # seconds until Services lead to their pods after a start


@dataclass(frozen=True, kw_only=True)
class _EdgeStep:
    engine: Engine
    names: Names
    image: str
    route: Route
    name: str = "edge"

    @property
    def _edge(self) -> Edge:
        return Edge(self.engine, self.names, self.image)


@dataclass(frozen=True, kw_only=True)
class EdgeStep(_EdgeStep):
    """The sandbox's `route` in the edge's container.

    It leads to `nodes` on the route's network, which are looked up when needed; the ingress answers at each of them. It
    `grows` where there are several nodes.
    """

    nodes: Callable[[], tuple[str, ...]]
    grows: bool = False
    requires: tuple[str, ...] = ("images", "network", "certificates", "cluster")

    @property
    def title(self) -> str:
        return _title(self.route.listen)

    def check(self) -> Status:
        return self._edge.status(self._route())

    def apply(self, work: Work) -> None:
        self._edge.publish(self._route(), work.say)

    def undo(self) -> bool:
        return self._edge.withdraw()

    def _route(self) -> Route:
        located = []
        for node in self.nodes():
            # By its address, or its name as long as it has none.
            host, colon, port = node.partition(":")
            container = self.engine.container(host)
            address = container.addresses.get(self.route.network) if container else None
            located.append(f"{address or host}{colon}{port}")
        return replace(self.route, upstream=located[0], replicas=tuple(located[1:]))


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
        return host_ports.status(Cluster(self.names.kubeconfig), route.every_port, dict(route.node_ports))

    def apply(self, work: Work) -> None:
        route = self._route
        if route is None:
            return
        for missing in host_ports.publish(Edge(self.engine, self.names, self.image), route.every_port):
            work.say(missing)
        cluster = Cluster(self.names.kubeconfig)
        wait_until(
            lambda: host_ports.outdated(cluster, route.every_port), what=self.title, timeout=TIMEOUT, say=work.say
        )

    @property
    def _route(self) -> Route | None:
        return routes.find(routes.load(self.names.home.edge), self.names.name)


@dataclass(frozen=True, kw_only=True)
class ForwardedEdgeStep(_EdgeStep):
    """The sandbox's route in the edge's container, by `kubectl port-forward` where containers cannot reach the cluster.

    `registry` is the one in the cluster, if pushes go there.
    """

    kubectl: Path
    registry: RegistryRoute | None = None
    requires: tuple[str, ...] = ("images", "cluster")
    after: tuple[str, ...] = ("registry",)

    @property
    def title(self) -> str:
        registry = [self.registry.place] if self.registry else []
        return _title((*self.route.listen, *registry, *map(self.route.place, self.route.ports)))

    def check(self) -> Status:
        registry = self._edge.registry_status(self.registry) if self.registry else None
        if registry and registry.state is not State.READY:
            return registry
        return self._edge.status(self.route)

    def apply(self, work: Work) -> None:
        if self.engine.facts().rootless:
            raise SandboxError(
                "an engine without root does not reach port-forwards, which listen on this machine's loopback",
                fix="use an engine that runs as root: export DOCKER_HOST=…",
                id="port-forward",
            )
        forwarder.use(self.names.home, self.kubectl)
        if self.registry:
            self._edge.publish_registry(self.registry, work.say)
        self._edge.publish(self.route, work.say)

    def undo(self) -> bool:
        registry = self._edge.withdraw_registry()
        return self._edge.withdraw() or registry


@dataclass(frozen=True)
class ForwardedPortsStep(NothingToUndo):
    """The right to port-forwards that forwards to Services need, in a sandbox's one namespace."""

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
        services = dict.fromkeys(Target.parse(port.to).service for port in self.ports)
        missing = (name for name in services if cluster.get("v1", "Service", name, self.namespace) is None)
        notes = (f"there is no Service {name} in {self.namespace}" for name in missing)
        return Status(State.READY, "; ".join((", ".join(f"{port} → {port.to}" for port in self.ports), *notes)))

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


def _title(places: Iterable[tuple[str, int]]) -> str:
    return f"Edge on {', '.join(str(Bind(*place)) for place in places)}"
