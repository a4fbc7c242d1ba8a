"""Servers of the test's own process behind a sandbox's ingress, so that what is asked of it needs no image."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from ipaddress import ip_network
from typing import Any

from sandbox.kube.api import Cluster
from sandbox.names import SYSTEM_NAMESPACE
from tests.real.machine import tool

NAMESPACE = "default"


def gateway() -> str:
    """An address of this machine where pods reach its servers, on the engine's own network."""
    template = "{{with index .IPAM.Config 0}}{{.Gateway}} {{.Subnet}}{{end}}"
    gateway, _, subnet = tool("docker", "network", "inspect", "bridge", "--format", template).strip("\n").partition(" ")
    return gateway or str(ip_network(subnet)[1])  # an engine that was started a second time does not say it


@contextmanager
def ingress(
    cluster: Cluster,
    host: str,
    port: int,
    *,
    annotations: Mapping[str, str] | None = None,
    protocol: str = "",
    secret: str = "",
    address: str = "",
) -> Iterator[None]:
    """While it is entered, `host` leads to `port` on this machine, or at another `address`.

    `protocol` is the Service's appProtocol, `secret` the TLS Secret of a certificate of its own.
    """
    service, endpoints, routed = _objects(host.partition(".")[0], host, port, annotations or {}, protocol, address)
    if secret:
        routed = {**routed, "spec": {**routed["spec"], "tls": [{"hosts": [host], "secretName": secret}]}}
    with applied(cluster, service, endpoints, routed):
        yield


@contextmanager
def route(cluster: Cluster, kind: str, host: str, port: int, *, listener: str) -> Iterator[None]:
    """The same by a Gateway API route of that kind to the listener of the sandbox's Gateway."""
    name = host.partition(".")[0]
    service, endpoints, _ = _objects(name, host, port, {}, "")
    parent = {"name": "sandbox", "namespace": SYSTEM_NAMESPACE, "sectionName": listener}
    rules = [{"backendRefs": [{"name": name, "port": port}]}]
    routed = {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": kind,
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {"parentRefs": [parent], "hostnames": [host], "rules": rules},
    }
    with applied(cluster, service, endpoints, routed):
        yield


@contextmanager
def applied(cluster: Cluster, *objects: Mapping[str, Any]) -> Iterator[None]:
    cluster.apply_all(objects)
    try:
        yield
    finally:
        for one in objects:
            cluster.delete(one["apiVersion"], one["kind"], one["metadata"]["name"], NAMESPACE)


def _objects(
    name: str, host: str, port: int, annotations: Mapping[str, str], protocol: str, address: str = ""
) -> tuple[Mapping[str, Any], ...]:
    metadata = {"name": name, "namespace": NAMESPACE}
    entry = {"name": "main", "port": port, **({"appProtocol": protocol} if protocol else {})}
    backend = {"service": {"name": name, "port": {"name": "main"}}}
    return (
        {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": {"ports": [entry]}},
        {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {**metadata, "labels": {"kubernetes.io/service-name": name}},
            "addressType": "IPv4",
            "ports": [{"name": "main", "port": port}],
            "endpoints": [{"addresses": [address or gateway()], "conditions": {"ready": True}}],
        },
        {
            "apiVersion": "networking.k8s.io/v1",
            "kind": "Ingress",
            "metadata": {**metadata, "annotations": dict(annotations)},
            "spec": {
                "ingressClassName": "nginx",
                "rules": [{"host": host, "http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": backend}]}}],
            },
        },
    )
