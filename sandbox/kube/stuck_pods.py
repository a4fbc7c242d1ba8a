"""Replaces pods of a StatefulSet's earlier revision that do not become ready.

Kubernetes waits for such a pod before it replaces any, also when the new revision repairs it
(https://kubernetes.io/docs/concepts/workloads/controllers/statefulset/#forced-rollback).
"""

from __future__ import annotations

from datetime import UTC, datetime

from sandbox.kube.api import Cluster, ClusterError, Manifest, Say
from sandbox.kube.deletion import is_leaving
from sandbox.kube.manifests import pod_selector
from sandbox.kube.workload_status import conditions, is_ready, is_seen

REVISION = "controller-revision-hash"
# A pod that becomes ready by itself is replaced by Kubernetes.
PATIENCE = 30.0  # seconds


def replace(cluster: Cluster, live: Manifest, say: Say) -> None:
    """Delete pods of a StatefulSet's earlier revision that are not ready, so that its controller makes new ones.

    Raises ClusterError.
    """
    status, strategy = live.get("status") or {}, (live.get("spec") or {}).get("updateStrategy") or {}
    is_by_hand = strategy.get("type") == "OnDelete" or (strategy.get("rollingUpdate") or {}).get("partition")
    is_updating = status.get("replicas", 0) > status.get("updatedReplicas", 0)
    if live["kind"] != "StatefulSet" or is_by_hand or not (is_seen(live) and is_updating):
        return
    namespace = live["metadata"].get("namespace", "default")
    for pod in cluster.list("v1", "Pod", namespace, selector=pod_selector(live)):
        revision = (pod["metadata"].get("labels") or {}).get(REVISION)
        if revision in (None, status.get("updateRevision")) or is_leaving(pod) or is_ready(pod):
            continue
        since = next((condition.get("lastTransitionTime") for condition in conditions(pod, "Ready")), None)
        if not since or (datetime.now(UTC) - datetime.fromisoformat(since)).total_seconds() <= PATIENCE:
            continue
        name = pod["metadata"]["name"]
        say(f"replacing pod {name}, which is of an earlier revision and not ready")
        try:
            cluster.delete("v1", "Pod", name, namespace)
        except ClusterError as error:
            error.fix = error.fix or f"kubectl --namespace {namespace} delete pod {name}, then sandbox up"
            raise
