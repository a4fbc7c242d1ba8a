"""The workloads of a sandbox by the names that people use: `web`, `deployment/web`, `shop/web`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sandbox.app.session import wake_paused
from sandbox.errors import UsageError
from sandbox.kube.api import Cluster, Manifest
from sandbox.kube.manifests import label_selector
from sandbox.kube.readiness import wait_ready
from sandbox.names import Names
from sandbox.plan import saved_spec

KINDS = {"deployment": "Deployment", "statefulset": "StatefulSet", "daemonset": "DaemonSet"}
SHORT = {"deploy": "deployment", "sts": "statefulset", "ds": "daemonset"}
# Namespaces of Kubernetes, of kind and of the sandbox itself.
SYSTEM = ("kube-", "sandbox-system", "local-path-storage", "metallb-system")
TIMEOUT = 300.0  # seconds until a restarted workload is ready


@dataclass(frozen=True)
class Workload:
    """A Deployment, StatefulSet or DaemonSet as the cluster has it."""

    manifest: Manifest

    @property
    def namespace(self) -> str:
        return str(self.manifest["metadata"]["namespace"])

    @property
    def name(self) -> str:
        return str(self.manifest["metadata"]["name"])

    @property
    def title(self) -> str:
        return f"{self.namespace}/{str(self.manifest['kind']).lower()}/{self.name}"

    def pods(self, cluster: Cluster) -> list[dict[str, Any]]:
        """Return its pods, the newest first. Raises ClusterError."""
        selector = label_selector((self.manifest["spec"].get("selector") or {}).get("matchLabels"))
        pods = cluster.list("v1", "Pod", self.namespace, selector=selector)
        return sorted(pods, key=lambda pod: str(pod["metadata"].get("creationTimestamp", "")), reverse=True)


def cluster_of(names: Names) -> tuple[Cluster, str | None]:
    """Return a sandbox's cluster, awake, and the only namespace that it has there, or None for all.

    Raises UsageError if it is not up.
    """
    if not names.kubeconfig.exists():
        raise UsageError(f"the sandbox '{names.name}' is not up", fix=f"sandbox up -n {names.name}", id="not-up")
    wake_paused(names)
    return Cluster(names.kubeconfig), saved_spec.namespace(names)


def is_system(namespace: str) -> bool:
    return namespace.startswith(SYSTEM)


def listed(cluster: Cluster, namespace: str | None) -> list[Workload]:
    """Return the workloads in `namespace`, or in all that are not the system's. Raises ClusterError."""
    workloads = [
        Workload({"kind": kind, "apiVersion": "apps/v1", **manifest})
        for kind in KINDS.values()
        for manifest in cluster.list("apps/v1", kind, namespace)
    ]
    return [workload for workload in workloads if namespace or not is_system(workload.namespace)]


def find(cluster: Cluster, text: str, namespace: str | None) -> Workload:
    """Return the workload that `text` names: [NAMESPACE/][KIND/]NAME.

    `namespace`: the only one that the sandbox may use, or None. Raises UsageError for an unknown or an ambiguous name.
    """
    *prefixes, name = text.split("/")
    parts = [SHORT.get(part, part) for part in prefixes]
    kind = next((part for part in parts if part in KINDS), "")
    place = next((part for part in parts if part not in KINDS), namespace or "")
    workloads = listed(cluster, namespace)
    matching = [
        workload
        for workload in workloads
        if workload.name == name
        and (not place or workload.namespace == place)
        and (not kind or workload.manifest["kind"] == KINDS[kind])
    ]
    if len(matching) == 1:
        return matching[0]
    if matching:
        titles = ", ".join(workload.title for workload in matching)
        raise UsageError(f"several workloads are called {text}", fix=f"name one of them: {titles}", id="no-workload")
    titles = ", ".join(workload.title for workload in workloads) or "none"
    raise UsageError(
        f"there is no workload {text}", details=f"the cluster has: {titles}", fix="name one of them", id="no-workload"
    )


def restart(cluster: Cluster, workload: Workload, say: Callable[[str], None]) -> None:
    """Replace its pods as `kubectl rollout restart` does, and wait until they are ready. Raises ClusterError."""
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    cluster.annotate_pods(workload.manifest, {"kubectl.kubernetes.io/restartedAt": now}, manager="sandbox-restart")
    live = cluster.live(workload.manifest)
    wait_ready(cluster, [live or workload.manifest], timeout=TIMEOUT, say=say)


def running_pod(cluster: Cluster, workload: Workload) -> dict[str, Any]:
    """Return its newest running pod. Raises UsageError if no pod runs."""
    pods = workload.pods(cluster)
    running = [pod for pod in pods if (pod.get("status") or {}).get("phase") == "Running"]
    if not running:
        raise UsageError(
            f"no pod of {workload.title} runs",
            details=_phases(pods),
            fix=f"sandbox doctor pod {workload.namespace}/{workload.name}",
            id="no-workload",
        )
    return running[0]


def _phases(pods: Sequence[Manifest]) -> str:
    return (
        ", ".join(f"{pod['metadata']['name']}: {(pod.get('status') or {}).get('phase')}" for pod in pods) or "no pods"
    )
