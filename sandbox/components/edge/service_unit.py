"""The unit on nodes that gives addresses to Services of type LoadBalancer, and keeps the Services of ports in step.

The addresses are of the sandbox's own network, outside the part from which the engine gives addresses to containers. So
this machine reaches them directly, a node answers for each, and kube-proxy does the rest.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Network
from pathlib import PurePosixPath

from sandbox.components import node_unit
from sandbox.components.node_unit import NodeUnit
from sandbox.engine import Engine
from sandbox.engine.container_host import joined
from sandbox.kube.api import Cluster
from sandbox.names import Names
from sandbox.provider import Nodes
from sandbox.step import NothingToUndo, State, Status, Work
from sandbox.system import files

ADDRESS = "sandbox.dev/address"
CLASS = "sandbox.dev/load-balancer"
SETTINGS = PurePosixPath("/etc/sandbox/services.conf")
SMALLEST = 28  # bits of a network's prefix; a quarter of a smaller network is not worth it


def addresses(network: str, lower: str, *, chosen: bool) -> IPv4Network | None:
    """Return the third quarter of a network, for Services; None where the engine may give its addresses to containers.

    Containers are in the lower half: by the engine's range (`lower`), or because the network was `chosen` by a provider
    that gives out the first addresses. In the last quarter are our own containers on such a network.
    """
    whole = IPv4Network(network)
    if whole.prefixlen > SMALLEST or not (lower or chosen):
        return None
    return list(whole.subnets(2))[2]


def unit(subnet: str, given: IPv4Network | None, assigner: str, nodes: int) -> NodeUnit:
    """Return the unit for a network and its nodes, of which `assigner` gives Services their addresses."""
    first, last = (int(given[1]), int(given[-2])) if given else (0, 0)
    settings = {"subnet": subnet, "first": first, "last": last, "assigner": assigner, "nodes": nodes}
    services = {"apiGroups": [""], "resources": ["services"], "verbs": ["get", "list", "watch", "patch"]}
    return NodeUnit(
        name="sandbox-services",
        description="Addresses of Services of type LoadBalancer, and Services of the machine's ports",
        script=files.packaged(__package__, "scripts/services.sh"),
        data={SETTINGS: "".join(f"{key}={value}\n" for key, value in settings.items()).encode()},
        anywhere=(
            services,
            {"apiGroups": [""], "resources": ["services/status"], "verbs": ["get", "patch"]},
            {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": ["list", "watch"]},
            {"apiGroups": [""], "resources": ["events"], "verbs": ["create"]},
        ),
        everywhere=True,
        interpreter="/bin/bash",
        capabilities=("CAP_NET_ADMIN", "CAP_NET_RAW"),
        families=("AF_NETLINK", "AF_PACKET"),
    )


@dataclass(frozen=True)
class ServicesStep(NothingToUndo):
    """The unit on every node."""

    engine: Engine
    nodes: Nodes
    names: Names
    name: str = "services"
    requires: tuple[str, ...] = ("cluster",)
    title: str = "Addresses of Services"

    def check(self) -> Status:
        pending = node_unit.problem(self.nodes, Cluster(self.names.kubeconfig), self._unit)
        if pending:
            return Status(State.DRIFTED, pending)
        return self._ready

    def apply(self, work: Work) -> Status:
        node_unit.place(self.nodes, Cluster(self.names.kubeconfig), self._unit)
        return self._ready

    @property
    def _ready(self) -> Status:
        given = self._addresses
        return Status(
            State.READY, f"{given[1]} to {given[-2]}" if given else "none, on the network of earlier releases"
        )

    @property
    def _addresses(self) -> IPv4Network | None:
        network = joined(self.engine, self.nodes.network)
        return addresses(network.subnet, network.lower, chosen=network.name != self.names.network)

    @property
    def _unit(self) -> NodeUnit:
        subnet = joined(self.engine, self.nodes.network).subnet
        return unit(subnet, self._addresses, self.nodes.control_plane, len(self.nodes.every()))
