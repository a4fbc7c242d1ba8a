"""Replaces pods of a StatefulSet's earlier revision that do not become ready.

Kubernetes waits for such a pod before it replaces any, also when the new revision repairs it
(https://kubernetes.io/docs/concepts/workloads/controllers/statefulset/#forced-rollback).
"""

from __future__ import annotations

from datetime import UTC, datetime

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
    status, spec = live.get("status") or {}, live.get("spec") or {}
    strategy = spec.get("updateStrategy") or {}
    is_updating = status.get("replicas", 0) > status.get("updatedReplicas", 0)
    if live["kind"] != "StatefulSet" or strategy.get("type") == "OnDelete" or not (is_seen(live) and is_updating):
        return
    # Pods with lower numbers are to stay at their revision.
    partition = (strategy.get("rollingUpdate") or {}).get("partition") or 0
    first = ((spec.get("ordinals") or {}).get("start") or 0) + partition
    namespace = live["metadata"].get("namespace", "default")
    for pod in cluster.list("v1", "Pod", namespace, selector=pod_selector(live)):
        name, labels = pod["metadata"]["name"], pod["metadata"].get("labels") or {}
        is_old = (
            labels.get(REVISION) not in (None, status.get("updateRevision")) and int(name.rpartition("-")[2]) >= first
        )
        if not is_old or is_leaving(pod) or is_ready(pod):
            continue
        fault = next((fault for fault in faults(pod) if not fault.again), None)
        if fault is None and _unready_for(pod) <= PATIENCE:
            continue
        say(f"replacing pod {name}, which is of an earlier revision: {fault or 'not ready'}")
        try:
            cluster.delete("v1", "Pod", name, namespace)
        except ClusterError as error:
            error.fix = error.fix or f"kubectl --namespace {namespace} delete pod {name}, then sandbox up"
            raise


def _unready_for(pod: Manifest) -> float:
    """Return for how many seconds a pod has not been ready; 0 where its kubelet has not said."""
    since = next((str(condition.get("lastTransitionTime") or "") for condition in conditions(pod, "Ready")), "")
    return (datetime.now(UTC) - datetime.fromisoformat(since)).total_seconds() if since else 0.0
