"""A Service and everything on the path to it, each read once: its objects, the sandbox's route, the nodes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from sandbox.components.edge import routes
from sandbox.components.edge.route import Port, Route
from sandbox.doctor.check import with_engine
from sandbox.doctor.doctor_context import DoctorContext
from sandbox.engine import Bind
from sandbox.errors import UsageError
from sandbox.kube.api import Cluster, Manifest
from sandbox.kube.manifests import label_selector
from sandbox.kube.services import endpoint_slices, is_serving, offered
from sandbox.plan import providers
from sandbox.provider import Nodes


@dataclass(frozen=True)
class ServiceTrace:
    """The Service `name` of `namespace`, and everything on the path to it."""

    context: DoctorContext
    namespace: str
    name: str

    @classmethod
    def find(cls, context: DoctorContext, text: str) -> ServiceTrace:
        """Return the Service `text` (NAMESPACE/NAME or NAME). Raises UsageError for a name that several have."""
        cluster = context.cluster
        namespace, slash, name = text.partition("/")
        if slash:
            return cls(context, namespace, name)
        found = [
            one["metadata"]["namespace"]
            for one in cluster.list("v1", "Service", context.spec.namespace)
            if one["metadata"]["name"] == text
        ]
        if len(found) > 1:
            named = ", ".join(f"{one}/{text}" for one in found)
            raise UsageError(f"there are several Services {text}", fix=f"name one: {named}")
        return cls(context, found[0] if found else context.spec.namespace or "default", text)

    @property
    def which(self) -> str:
        return self.context.which

    @property
    def called(self) -> str:
        return f"{self.namespace}/{self.name}"

    @cached_property
    def service(self) -> Manifest:
        """Return the Service, empty where there is none. Raises ClusterError."""
        return self._cluster.get("v1", "Service", self.name, self.namespace) or {}

    @cached_property
    def endpoints(self) -> Sequence[Manifest]:
        """Return the endpoints of its EndpointSlices, each with the slice's `ports`. Raises ClusterError."""
        found = endpoint_slices(self._cluster, self.namespace, self.name)
        return [{**end, "ports": one.get("ports") or ()} for one in found for end in one.get("endpoints") or ()]

    @property
    def ready(self) -> Sequence[Manifest]:
        """Return the endpoints that get connections. Raises ClusterError."""
        return [end for end in self.endpoints if is_serving(end)]

    def offered(self, protocol: str) -> Sequence[Manifest]:
        """Return its own ports of a protocol."""
        return offered(self.service, protocol)

    @cached_property
    def pods(self) -> Sequence[Manifest]:
        """Return the pods that it selects. Raises ClusterError."""
        selector = label_selector(self.service["spec"].get("selector"))
        return self._cluster.list("v1", "Pod", self.namespace, selector=selector) if selector else ()

    @property
    def events(self) -> Sequence[Manifest]:
        """Return MetalLB's warnings about Services of the namespace, oldest first. Raises ClusterError."""
        found = self._cluster.list("v1", "Event", self.namespace)
        warnings = (
            event
            for event in found
            if event.get("type") == "Warning" and (event.get("source") or {}).get("component") == "metallb-controller"
        )
        return sorted(warnings, key=lambda event: str(event.get("lastTimestamp")))

    @property
    def address(self) -> str:
        given = self.service.get("status", {}).get("loadBalancer", {}).get("ingress") or [{}]
        return str(given[0].get("ip") or given[0].get("hostname") or "")

    @cached_property
    def route(self) -> Route | None:
        return routes.find(routes.load(self.context.home.edge), self.context.names.name)

    @property
    def ports(self) -> Mapping[Port, Bind]:
        if (route := self.route) is None:
            return {}
        mine = [one for one in route.every_port if one.to.partition(":")[0] == self.called]
        return {one: Bind(*route.place(one)) for one in mine}

    @cached_property
    def nodes(self) -> Nodes:
        """Return the way to the nodes. Raises NoEngine."""
        return providers.nodes(with_engine(self.context).engine, self.context.names)

    @property
    def _cluster(self) -> Cluster:
        return Cluster(self.context.names.kubeconfig)
