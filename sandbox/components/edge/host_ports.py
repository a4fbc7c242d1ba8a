"""Ports that are routed to Services: the objects for them in the cluster, and where the edge connects.

Next to each Service the sandbox creates another of type NodePort, with the same selector. The edge reaches it by any
node, whatever happens to pods and nodes, and the user's Service is not changed. `up`, `dev` and `sandbox edge port`
keep both in step.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sandbox.components import content_hash
from sandbox.components.edge.route import Port
from sandbox.components.edge.shared_edge import Edge
from sandbox.kube.api import Cluster, Manifest
from sandbox.kube.workload_status import endpoint_slices, is_serving, offered
from sandbox.names import HOST_PORT
from sandbox.quantities import count
from sandbox.step import State, Status

TARGET = "sandbox.dev/to"
_IS_OURS = f"{HOST_PORT}=true"


@dataclass(frozen=True)
class Target:
    """A port of a Service, by number or name, as a spec writes it: NAMESPACE/SERVICE:PORT."""

    namespace: str
    service: str
    port: str

    @classmethod
    def parse(cls, text: str) -> Target:
        namespace, _, rest = text.partition("/")
        service, _, port = rest.partition(":")
        return cls(namespace, service, port)

    def __str__(self) -> str:
        return f"{self.namespace}/{self.service}:{self.port}"

    @property
    def name(self) -> str:
        return f"sandbox-port-{hashlib.sha256(str(self).encode()).hexdigest()[:10]}"


def status(cluster: Cluster, ports: Sequence[Port], node_ports: Mapping[str, int]) -> Status:
    """Compare the cluster's objects with `ports`, and the edge's routes with the cluster.

    A Service that does not exist is no fault of the sandbox: the user may create it later.
    """
    targets = _targets(ports)
    copies = {_target_of(service): service for service in cluster.list("v1", "Service", selector=_IS_OURS)}
    if stray := copies.keys() - targets.keys():
        return Status(State.DRIFTED, f"{min(stray)} is no longer in the spec")
    manifests, missing = _services(cluster, targets)
    for to, manifest in manifests.items():
        if to not in copies:
            return Status(State.ABSENT, f"{to} is not routed yet")
        if content_hash.mark(copies[to]) != content_hash.mark(manifest):
            return Status(State.DRIFTED, f"{to} has changed")
        if node_ports.get(to) != _node_port(copies[to]):
            return Status(State.DRIFTED, f"the edge routes {to} elsewhere")
    if old := outdated(cluster, ports):
        return Status(State.DRIFTED, old)
    return Status(State.READY, "; ".join((", ".join(f"{port} → {port.to}" for port in ports), *missing)))


def outdated(cluster: Cluster, ports: Sequence[Port]) -> str | None:
    """Return a Service whose endpoints have other addresses than its pods, or None.

    Pods get new addresses when their node starts. Until the cluster's controllers have a leader again, which takes
    seconds, Services lead to other pods.
    """
    for to, target in _targets(ports).items():
        pods = cluster.list("v1", "Pod", target.namespace)
        addresses = {pod["metadata"]["name"]: (pod.get("status") or {}).get("podIP") for pod in pods}
        for part in endpoint_slices(cluster, target.namespace, target.name):
            for end in part.get("endpoints") or ():
                pod = (end.get("targetRef") or {}).get("name")
                if pod and addresses.get(pod) not in end["addresses"]:
                    return f"the endpoints of {to} are of an earlier start"
    return None


def publish(edge: Edge, ports: Sequence[Port]) -> Sequence[str]:
    """Create the cluster's objects for `ports`, remove others, and route the edge there; returns what is missing.

    Raises SandboxError.
    """
    cluster, targets = Cluster(edge.names.kubeconfig), _targets(ports)
    for service in cluster.list("v1", "Service", selector=_IS_OURS):
        if _target_of(service) not in targets:
            cluster.delete("v1", "Service", service["metadata"]["name"], service["metadata"]["namespace"])
    manifests, missing = _services(cluster, targets)
    cluster.apply_all(tuple(manifests.values()))
    node_ports = {to: _node_port(cluster.live(manifest) or {"spec": {}}) for to, manifest in manifests.items()}
    edge.route_ports({to: number for to, number in node_ports.items() if number})
    return missing


def mismatch(cluster: Cluster, port: Port) -> str:
    """Return why an existing Service cannot be the target of `port`; empty if it can. Raises SandboxError."""
    target = Target.parse(port.to)
    exists = cluster.get("v1", "Service", target.service, target.namespace) is not None
    return _service(cluster, target)[1] if exists else ""


def ready_pods(cluster: Cluster, to: str, *, direct: bool = False) -> tuple[int, str]:
    """Return how many pods of the Service `to` are ready, and the same in words or why there can be none.

    `direct` where clients reach it without a Service of the sandbox's. Raises SandboxError where the cluster does not
    answer.
    """
    target = Target.parse(to)
    # An account of one namespace may not ask whether there are others.
    if direct and cluster.get("v1", "Service", target.service, target.namespace) is None:
        return 0, f"there is no Service {target.namespace}/{target.service}"
    if trouble := _service(cluster, target)[1]:
        return 0, trouble
    slices = endpoint_slices(cluster, target.namespace, target.service if direct else target.name)
    if not slices:
        return 0, "not routed yet; run sandbox up"
    ends = [end for part in slices for end in part.get("endpoints") or ()]
    ready = len({address for end in ends if is_serving(end) for address in end["addresses"]})
    return ready, f"{count(ready, 'pod') if ready else 'no pods'} ready"


def _targets(ports: Sequence[Port]) -> dict[str, Target]:
    return {port.to: Target.parse(port.to) for port in ports}


def _target_of(live: Manifest) -> str:
    return str((live["metadata"].get("annotations") or {}).get(TARGET, ""))


def _node_port(live: Manifest) -> int | None:
    return next((port.get("nodePort") for port in live["spec"].get("ports") or ()), None)


def _services(cluster: Cluster, targets: Mapping[str, Target]) -> tuple[dict[str, dict[str, Any]], list[str]]:
    services = {to: _service(cluster, target) for to, target in targets.items()}
    manifests = {to: manifest for to, (manifest, _) in services.items() if manifest is not None}
    return manifests, [trouble for _, trouble in services.values() if trouble]


def _service(cluster: Cluster, target: Target) -> tuple[dict[str, Any] | None, str]:
    service = cluster.get("v1", "Service", target.service, target.namespace)
    name = f"{target.namespace}/{target.service}"
    if service is None:
        return None, f"there is no Service {name}"
    spec = service["spec"]
    if not spec.get("selector"):
        return None, f"the Service {name} has no selector, so it is not known which pods it is for"
    ports = offered(service, "tcp")
    port = next((each for each in ports if target.port in (str(each["port"]), each.get("name"))), None)
    if port is None:
        has = ", ".join(str(each["port"]) for each in ports) or "none"
        return None, f"the Service {name} has no TCP port {target.port}; it has: {has}"
    metadata = {
        "name": target.name,
        "namespace": target.namespace,
        "labels": {HOST_PORT: "true", "app.kubernetes.io/managed-by": "sandbox"},
        "annotations": {TARGET: str(target)},
    }
    number = port["port"]
    served = {"name": "port", "protocol": "TCP", "port": number, "targetPort": port.get("targetPort", number)}
    copy = {"type": "NodePort", "selector": dict(spec["selector"]), "ports": [served]}
    return content_hash.marked({"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": copy}), ""
