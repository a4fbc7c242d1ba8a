"""What connects this machine's ports with a sandbox's ingress: the edge's container, or the relay's process."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from sandbox.bundle.recipe import recipes
from sandbox.bundle.store import Store
from sandbox.components.edge import routes
from sandbox.components.edge.host_ports import Target
from sandbox.components.edge.lan_access import Access
from sandbox.components.edge.relay import Relay
from sandbox.components.edge.route import Host, Port, Tunnel
from sandbox.components.edge.step import EdgeStep, PortsStep, RelayStep
from sandbox.config.schema import ResolvedSpec, Spec
from sandbox.names import EDGE_LEAF, INGRESS_PORT, READY, SYSTEM_NAMESPACE, Names
from sandbox.plan.site import ClusterSite
from sandbox.step import State, Status, Step, Work
from sandbox.system.process import which


def edge(site: ClusterSite, lan: Access) -> list[Step]:
    """Return the kind of edge that the spec needs, after a step that removes the other kind."""
    spec, names, binds = site.spec, site.names, site.binds
    container = EdgeStep(
        engine=site.engine,
        names=names,
        nodes=partial(_ingresses, site),
        image=site.own.references["haproxy"],
        domain=spec.domain,
        binds=binds,
        network=site.nodes.network,
        hosts=hosts(spec),
        aliases=lan.domains,
        proof=READY if spec.ingress.controller == "traefik" else "",
        ports=ports(spec),
    )
    process = RelayStep(
        names=names,
        domain=spec.domain,
        binds=binds,
        upstream=_port_forward(names),
        kubectl=kubectl(site.store),
        tunnels=tunnels(names, spec),
        ports=ports(spec),
    )
    wanted: EdgeStep | RelayStep = process if spec.runs_process else container
    other, place = (container, site.home.edge) if spec.runs_process else (process, site.home.relay)
    if not routes.find(routes.load(place), spec.name):
        return [wanted]
    displaced = DisplacedStep(other)
    return [displaced, replace(wanted, requires=(*wanted.requires, displaced.name))]


def _ingresses(site: ClusterSite) -> tuple[str, ...]:
    """Return where the ingress answers on each node; a controller that the user brings has port 443."""
    nodes = site.nodes.every()
    return nodes if site.spec.ingress.controller == "none" else tuple(f"{node}:{INGRESS_PORT}" for node in nodes)


def hosts(spec: Spec) -> tuple[Host, ...]:
    """Return the hosts of the spec that have a route of their own at the edge."""
    return tuple(Host(one.host, one.ends, one.to) for one in spec.edge.hosts)


def ports(spec: ResolvedSpec) -> tuple[Port, ...]:
    """Return the ports of the spec that are routed to Services."""
    return (
        *(Port(one.port, one.target, one.proxy_protocol) for one in spec.edge.tcp),
        *(Port(spec.edge.ports[0], one.to, one.proxy_protocol, host=one.host) for one in spec.edge.tls),
    )


def tunnels(names: Names, spec: ResolvedSpec, namespace: str | None = None) -> tuple[Tunnel, ...]:
    """Return the relay's tunnels to Services, all in the one `namespace` if there is one."""
    return tuple(
        _tunnel(names, spec.edge.listen, one.port, Target.parse(one.target), namespace) for one in spec.edge.tcp
    )


def _tunnel(names: Names, listen: str, port: int, to: Target, namespace: str | None) -> Tunnel:
    leads = Relay(names.home).service(names, namespace or to.namespace, to.service, to.port)
    return Tunnel(port, leads, listen)


def served_ports(site: ClusterSite) -> list[Step]:
    """Return the step for ports of Services; also needed to remove those of an earlier spec."""
    if site.spec.runs_process:
        return []
    route = routes.find(routes.load(site.home.edge), site.spec.name)
    if not ports(site.spec) and not (route and (route.every_port or route.node_ports)):
        return []
    return [PortsStep(site.engine, site.names, site.own.references["haproxy"])]


def leaf(site: ClusterSite, lan: Access) -> Mapping[str, tuple[str, ...]]:
    """Return the certificate for the hosts whose TLS ends at the edge, file name to hosts; empty without such hosts."""
    ending = routes.ending(hosts(site.spec), routes.load_added(site.home.edge), site.spec.name, lan.domains)
    return {EDGE_LEAF: ending} if ending else {}


def _port_forward(names: Names) -> str:
    """Return a port-forward to the ingress controller through the API server, which every kind of cluster has."""
    return Relay(names.home).forward(names, SYSTEM_NAMESPACE, "service/ingress", 443)


def kubectl(store: Store) -> Path:
    """Return the kubectl on the PATH, else the bundle's program for all of Kubernetes."""
    return which("kubectl") or store.program(recipes()["kubernetes"], "kubernetes")


@dataclass(frozen=True)
class DisplacedStep:
    """Removes `step`, in whose place the spec now wants another."""

    step: Step
    name: str = "displaced"
    requires: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        return f"No {self.step.title}"

    def check(self) -> Status:
        absent = self.step.check().state is State.ABSENT
        return Status(State.READY) if absent else Status(State.DRIFTED, "an earlier spec asked for it")

    def apply(self, work: Work) -> None:
        self.step.undo()

    def undo(self) -> bool:
        return self.step.undo()
