"""Why the Service behind an Ingress does not answer: it does not exist, lacks the port, or has no ready pod."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from sandbox.kube.api import Cluster, title
from sandbox.kube.manifests import label_selector
from sandbox.kube.services import endpoint_slices, is_serving


@dataclass(frozen=True)
class Fault:
    """What is wrong with a Service, and the arguments of kubectl that help, with {rule} for what names the Service.

    The arguments are empty where the Service's name or port has to be corrected.
    """

    what: str
    remedy: str = ""


def faults(cluster: Cluster, ingresses: Iterable[Mapping[str, Any]], hosts: Collection[str]) -> Iterator[str]:
    """Yield what is wrong with the Services of Ingresses for `hosts`, a line each. Raises ClusterError."""
    for ingress in ingresses:
        name, namespace = title({"kind": "Ingress", **ingress}), ingress["metadata"]["namespace"]
        rules = (rule for rule in (ingress.get("spec") or {}).get("rules") or () if rule.get("host") in hosts)
        paths = (path for rule in rules for path in (rule.get("http") or {}).get("paths") or ())
        services = (path["backend"].get("service") for path in paths)
        backends = {(service["name"], number(service)) for service in services if service}
        for service, port in sorted(backends, key=str):
            if wrong := fault(cluster, namespace, service, port):
                yield f"{name}: {wrong.what}"


def number(service: Mapping[str, Any]) -> int | str | None:
    port = service.get("port") or {}
    return port.get("number") or port.get("name")


def fault(cluster: Cluster, namespace: str, name: str, port: int | str | None) -> Fault | None:
    place, service = f"{namespace}/{name}", cluster.get("v1", "Service", name, namespace)
    if service is None:
        return Fault(f"there is no Service {place}", "get services, then correct {rule}")
    spec = service.get("spec") or {}
    ports = [value for port in spec.get("ports") or () for value in (port.get("port"), port.get("name")) if value]
    if port is not None and port not in ports:
        return Fault(f"Service {place} has no port {port}, only {', '.join(map(str, ports))}")
    if spec.get("type") == "ExternalName" or ready(cluster, namespace, name):
        return None
    selector = label_selector(spec.get("selector"))
    if not selector:
        return Fault(f"Service {place} has no ready addresses", "get endpointslices")
    pods = cluster.list("v1", "Pod", namespace, selector=selector)
    states = []
    for pod in pods:
        status = pod.get("status") or {}
        waiting = [(each.get("state") or {}).get("waiting") or {} for each in status.get("containerStatuses") or ()]
        reason = next((each["reason"] for each in waiting if each.get("reason")), None)
        states.append(f"{pod['metadata']['name']} {reason or status.get('phase', 'Unknown')}")
    state = ", ".join(states) or f"no pod has the labels {selector}"
    remedy = f"describe pods -l {selector}" if pods else "get pods --show-labels"
    return Fault(f"no ready pod behind Service {place}: {state}", remedy)


def ready(cluster: Cluster, namespace: str, service: str) -> set[str]:
    """Return the pods that get traffic by name, and other endpoints by address."""
    slices = endpoint_slices(cluster, namespace, service)
    ends = [end for part in slices for end in part.get("endpoints") or () if is_serving(end)]
    return {(end.get("targetRef") or {}).get("name") or where for end in ends for where in end.get("addresses") or ()}
