"""What a Service offers: its ports, and the endpoints behind them."""

from collections.abc import Mapping, Sequence
from typing import Any

from sandbox.kube.api import Cluster, Manifest


def offered(service: Manifest, protocol: str) -> Sequence[Manifest]:
    ports = (service.get("spec") or {}).get("ports") or ()
    return [port for port in ports if port.get("protocol", "TCP") == protocol.upper()]


def endpoint_slices(cluster: Cluster, namespace: str, service: str) -> Sequence[dict[str, Any]]:
    selector = f"kubernetes.io/service-name={service}"
    return cluster.list("discovery.k8s.io/v1", "EndpointSlice", namespace, selector=selector)


def is_serving(endpoint: Mapping[str, Any]) -> bool:
    return (endpoint.get("conditions") or {}).get("ready") is not False
