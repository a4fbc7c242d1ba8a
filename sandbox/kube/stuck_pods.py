"""Replaces pods of a StatefulSet's earlier revision that do not become ready.

Kubernetes waits for such a pod before it replaces any, also when the new revision repairs it
(https://kubernetes.io/docs/concepts/workloads/controllers/statefulset/#forced-rollback).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from sandbox.kube.api import Cluster, ClusterError, Manifest, Say
from sandbox.kube.deletion import is_leaving
from sandbox.kube.manifests import pod_selector
from sandbox.kube.pod_faults import faults
from sandbox.kube.workload_status import conditions, is_ready, is_seen

REVISION = "controller-revision-hash"
# A pod without a fault may still become ready, and Kubernetes then replaces it.
PATIENCE = 30.0  # seconds


def replace(cluster: Cluster, live: Manifest, say: Say) -> None:
    """Delete the pods of a StatefulSet's earlier revision that are broken, so that its controller makes new ones.

    Raises ClusterError.
    """
    status, strategy = live.get("status") or {}, (live.get("spec") or {}).get("updateStrategy") or {}
    is_updating = status.get("replicas", 0) > status.get("updatedReplicas", 0)
    if live["kind"] != "StatefulSet" or strategy.get("type") == "OnDelete" or not (is_seen(live) and is_updating):
        return
    namespace = live["metadata"].get("namespace", "default")
    for pod, reason in _stuck(live, cluster.list("v1", "Pod", namespace, selector=pod_selector(live))):
        say(f"replacing pod {pod}, which is of an earlier revision: {reason}")
        try:
            cluster.delete("v1", "Pod", pod, namespace)
        except ClusterError as error:
            error.fix = error.fix or f"kubectl --namespace {namespace} delete pod {pod}, then sandbox up"
            raise


def _stuck(live: Manifest, pods: list[dict[str, Any]]) -> Iterator[tuple[str, str]]:
    newest = live["status"].get("updateRevision")
    for pod in pods:
        name, labels = pod["metadata"]["name"], pod["metadata"].get("labels") or {}
        is_old = labels.get(REVISION) not in (None, newest) and not _stays(live["spec"], name)
        if not is_old or is_leaving(pod) or is_ready(pod):
            continue
        fault = next((fault for fault in faults(pod) if not fault.again), None)
        if fault or _unready_for(pod) > PATIENCE:
            yield name, str(fault or "not ready")


def _stays(spec: Mapping[str, Any], pod: str) -> bool:
    partition = ((spec.get("updateStrategy") or {}).get("rollingUpdate") or {}).get("partition") or 0
    first = (spec.get("ordinals") or {}).get("start") or 0
    return int(pod.rpartition("-")[2]) < first + partition


def _unready_for(pod: Manifest) -> float:
    """Return for how many seconds a pod has not been ready; 0 where its kubelet has not said."""
    since = next((str(condition.get("lastTransitionTime") or "") for condition in conditions(pod, "Ready")), "")
    return (datetime.now(UTC) - datetime.fromisoformat(since)).total_seconds() if since else 0.0
