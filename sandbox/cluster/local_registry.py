"""How a cluster learns of the registry: containerd's hosts.toml, the ConfigMap of KEP-1755 and a Service for pods."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Any

SERVICE = "registry"


def host_files(names: tuple[str, ...], endpoint: str) -> dict[PurePosixPath, bytes]:
    """The files that make containerd pull `NAME/…` from `endpoint` for each of `names` (containerd docs, hosts.md).

    containerd reads them at every pull, so they may change while it runs.
    """
    text = f'server = "{endpoint}"\n\n[host."{endpoint}"]\n  capabilities = ["pull", "resolve"]\n'
    return {PurePosixPath("/etc/containerd/certs.d", name, "hosts.toml"): text.encode() for name in names}


def hosting(*, host: str, container_runtime: str, cluster_network: str) -> dict[str, Any]:
    """The ConfigMap that tells tools where to push and how to name images (KEP-1755, every field)."""
    lines = {
        "host": host,
        "hostFromContainerRuntime": container_runtime,
        "hostFromClusterNetwork": cluster_network,
        "help": "https://kind.sigs.k8s.io/docs/user/local-registry/",
    }
    text = "".join(f'{key}: "{value}"\n' for key, value in lines.items())
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "local-registry-hosting", "namespace": "kube-public"},
        "data": {"localRegistryHosting.v1": text},
    }


def service(namespace: str, *, address: str, port: int) -> tuple[dict[str, Any], ...]:
    """A Service without pods that gives the registry's container a name which pods can resolve."""
    metadata = {"name": SERVICE, "namespace": namespace}
    ports = [{"name": "http", "port": port}]
    slice_metadata = {**metadata, "labels": {"kubernetes.io/service-name": SERVICE}}
    return (
        {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": {"ports": ports}},
        {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": slice_metadata,
            "addressType": "IPv4",
            "ports": ports,
            "endpoints": [{"addresses": [address]}],
        },
    )
