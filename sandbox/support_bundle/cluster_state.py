"""Collects from the cluster: the nodes' journals and settings, objects and events, and pods' logs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from sandbox.kube.api import Cluster, ClusterError
from sandbox.kube.pod_images import container_statuses
from sandbox.provider import Nodes

LINES = 5000
POD_LINES = 1000
IN_NODE = {
    "kubelet.log": ("journalctl", "--no-pager", "--unit=kubelet", f"--lines={LINES}"),
    "containerd.log": ("journalctl", "--no-pager", "--unit=containerd", f"--lines={LINES}"),
    "sandbox.log": ("journalctl", "--no-pager", "--unit=sandbox-*", f"--lines={LINES}"),
    "containers.txt": ("crictl", "ps", "--all"),
    "images.txt": ("crictl", "images", "--digests"),
    "disk.txt": ("df", "-h"),
    "addresses.txt": ("ip", "address"),
    "routes.txt": ("ip", "route"),
    "resolv.conf": ("cat", "/etc/resolv.conf"),
    "registries.txt": ("grep", "--recursive", "", "/etc/containerd/certs.d"),
}
IN_NAMESPACES = (
    ("v1", "Pod"),
    ("v1", "Service"),
    ("v1", "Event"),
    ("v1", "PersistentVolumeClaim"),
    ("apps/v1", "Deployment"),
    ("apps/v1", "DaemonSet"),
    ("apps/v1", "StatefulSet"),
    ("batch/v1", "CronJob"),
    ("batch/v1", "Job"),
    ("discovery.k8s.io/v1", "EndpointSlice"),
    ("networking.k8s.io/v1", "Ingress"),
)


def nodes(nodes: Nodes) -> Iterator[tuple[str, str]]:
    for node in nodes.running():
        for name, argv in IN_NODE.items():
            yield f"nodes/{node}/{name}", nodes.execute(node, argv)[1]


def objects(cluster: Cluster, namespace: str | None) -> Iterator[tuple[str, str]]:
    """Yield objects by kind, without values of environment variables and annotations that repeat the object.

    With a `namespace`, nothing outside it is read: it is another user's.
    """
    kinds = IN_NAMESPACES if namespace else (("v1", "Node"), *IN_NAMESPACES)

    def listed(kind: tuple[str, str]) -> tuple[str, str]:
        try:
            objects = cluster.list(*kind, namespace)
        except ClusterError as error:
            return f"objects/{kind[1]}.txt", f"{error}\n"
        return f"objects/{kind[1]}.json", json.dumps([_bare(item) for item in objects], indent=1)

    with ThreadPoolExecutor(len(kinds)) as pool:  # so that a server that is away is waited for once
        yield from pool.map(listed, kinds)


def pods(cluster: Cluster, namespace: str | None) -> Iterator[tuple[str, str]]:
    """Yield the last log lines of each container, before its restart too, of all pods or those in `namespace`."""
    for pod in cluster.list("v1", "Pod", namespace):
        place, name = pod["metadata"]["namespace"], pod["metadata"]["name"]
        for status in container_statuses(pod):
            for previous in (False, True) if status.get("restartCount") else (False,):
                log = cluster.log(name, place, lines=POD_LINES, container=status["name"], previous=previous)
                yield f"pods/{place}/{name}/{status['name']}{'-before' if previous else ''}.log", log


def _bare(value: Any) -> Any:
    match value:
        case {"managedFields": _}:
            annotations = {k: v for k, v in value.get("annotations", {}).items() if "last-applied" not in k}
            return {k: _bare(v) for k, v in {**value, "annotations": annotations}.items() if k != "managedFields"}
        case {"env": list(variables)}:
            names = [{k: v for k, v in variable.items() if k != "value"} for variable in variables]
            return {k: _bare(v) for k, v in value.items() if k != "env"} | {"env": names}
        case dict():
            return {k: _bare(v) for k, v in value.items()}
        case list():
            return [_bare(item) for item in value]
    return value
