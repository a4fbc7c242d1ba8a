"""What nodes, workloads and Services report: whether they are ready, what they lack, and what is behind them."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from sandbox.kube.api import Cluster, ClusterError, Manifest, title
from sandbox.kube.deletion import is_leaving
from sandbox.kube.manifests import pod_selector

WORKLOADS = {"Deployment", "DaemonSet", "StatefulSet", "Pod", "Job"}
LEAVING = "is being deleted"
# A kubelet that has just started reports for seconds that its node is not ready.
STARTING = 15.0  # seconds


def unready_nodes(cluster: Cluster, names: Collection[str]) -> Iterator[str]:
    """Yield which of the nodes `names` are not ready, with the reason. Raises ClusterError."""
    for node in cluster.list("v1", "Node"):
        for condition in conditions(node, "Ready") if node["metadata"]["name"] in names else ():
            changed = datetime.fromisoformat(condition.get("lastTransitionTime") or "1970-01-01T00:00:00Z")
            is_starting = condition["status"] == "False" and (datetime.now(UTC) - changed).total_seconds() < STARTING
            if condition["status"] != "True" and not is_starting:
                yield f"{node['metadata']['name']} is not ready: {condition.get('message') or condition.get('reason')}"


def is_ready(pod: Manifest) -> bool:
    return any(_true(pod, "Ready"))


def has_failed(live: Mapping[str, Any]) -> bool:
    """Return whether a workload has ended in a failure, and does not try again by itself."""
    try:
        progress(live)
    except ClusterError:
        return True
    return False


def progress(live: Mapping[str, Any]) -> str | None:
    """Return what a workload lacks to be ready, by its status, or None. Raises ClusterError for one that has failed."""
    if is_leaving(live):
        return LEAVING
    status, spec = live.get("status") or {}, live.get("spec") or {}
    if live["kind"] == "Pod":
        if status.get("phase") == "Failed":
            raise ClusterError(f"{title(live)} failed", details=str(status.get("message", "")))
        done = status.get("phase") == "Succeeded" or is_ready(live)
        return None if done else str(status.get("phase", "not scheduled"))
    if live["kind"] == "Job":
        if failure := next(_true(live, "Failed"), None):
            raise ClusterError(f"{title(live)} failed", details=failure.get("message", ""))
        # A success policy may end it sooner (KEP-3998); one that is suspended is begun by another.
        complete = any(_true(live, "Complete")) or spec.get("suspend")
        return None if complete or status.get("succeeded", 0) >= spec.get("completions", 1) else "running"
    return _rollout_progress(live, status, spec)


def _rollout_progress(live: Mapping[str, Any], status: Mapping[str, Any], spec: Mapping[str, Any]) -> str | None:
    if spec.get("paused"):  # then nothing changes until another resumes it
        return None
    if not is_seen(live):
        return "not yet seen by its controller"
    if live["kind"] == "DaemonSet":
        ready, updated = status.get("numberReady", 0), status.get("updatedNumberScheduled", 0)
        # It may rightly have no pod where it asks nodes for more than Linux, which all have.
        pod = (spec.get("template") or {}).get("spec") or {}
        labels = (pod.get("nodeSelector") or {}).items() - {("kubernetes.io/os", "linux")}
        chooses_nodes = labels or (pod.get("affinity") or {}).get("nodeAffinity")
        desired = max(status.get("desiredNumberScheduled", 0), 0 if chooses_nodes else 1)
    else:
        ready, updated = status.get("readyReplicas", 0), status.get("updatedReplicas", 0)
        desired = spec.get("replicas", 1)
    if is_by_hand(spec):
        updated = max(ready, status.get("replicas", 0))
    # What is ready may still be what is being replaced.
    if status.get("replicas", 0) > updated:
        return f"{status['replicas'] - updated} of the pods before are still there"
    return None if min(ready, updated) >= desired else f"{min(ready, updated)} of {desired} pods ready"


def is_seen(live: Mapping[str, Any]) -> bool:
    seen = (live.get("status") or {}).get("observedGeneration", 0)
    return bool(seen >= live["metadata"].get("generation", 1))


def is_by_hand(spec: Mapping[str, Any]) -> bool:
    """Return whether pods of an earlier revision may stay until a user replaces them, by the update strategy."""
    strategy = spec.get("updateStrategy") or {}
    return bool(strategy.get("type") == "OnDelete" or (strategy.get("rollingUpdate") or {}).get("partition"))


def conditions(live: Mapping[str, Any], kind: str) -> Iterable[Mapping[str, Any]]:
    every = (live.get("status") or {}).get("conditions") or ()
    return (condition for condition in every if condition.get("type") == kind)


def _true(live: Mapping[str, Any], kind: str) -> Iterator[Mapping[str, Any]]:
    return (condition for condition in conditions(live, kind) if condition["status"] == "True")


def unschedulable(pod: Mapping[str, Any]) -> list[str]:
    refusals = (condition for condition in conditions(pod, "PodScheduled") if condition.get("status") == "False")
    return [condition.get("message", "") for condition in refusals if condition.get("reason") == "Unschedulable"]


def pods_of(cluster: Cluster, live: Manifest, namespace: str) -> list[Manifest]:
    """Return the pods of a workload's present revision; those of earlier ones may be in any state."""
    if live["kind"] == "Pod":
        return [live]
    selector = pod_selector(live)
    pods = cluster.list("v1", "Pod", namespace, selector=selector) if selector else []
    present: list[Manifest] = [pod for pod in pods if not is_leaving(pod)]
    status = live.get("status") or {}
    if live["kind"] == "Job" or not present:
        return present
    if not is_seen(live):
        return []
    everything, updated = (
        (status.get("currentNumberScheduled", 0), status.get("updatedNumberScheduled", 0))
        if live["kind"] == "DaemonSet"
        else (status.get("replicas", 0), status.get("updatedReplicas", 0))
    )
    if everything <= updated or is_by_hand(live.get("spec") or {}):
        return present
    newest = max(present, key=lambda pod: str(pod["metadata"].get("creationTimestamp", "")))
    # A StatefulSet that goes back to an earlier revision has its newest pods of another one.
    revision = status.get("updateRevision") or _revision(newest)
    return [pod for pod in present if updated and _revision(pod) == revision]


def _revision(pod: Manifest) -> str:
    labels = pod["metadata"].get("labels") or {}
    return str(labels.get("pod-template-hash") or labels.get("controller-revision-hash") or "")


def offered(service: Manifest, protocol: str) -> Sequence[Manifest]:
    ports = (service.get("spec") or {}).get("ports") or ()
    return [port for port in ports if port.get("protocol", "TCP") == protocol.upper()]


def endpoint_slices(cluster: Cluster, namespace: str, service: str) -> Sequence[dict[str, Any]]:
    selector = f"kubernetes.io/service-name={service}"
    return cluster.list("discovery.k8s.io/v1", "EndpointSlice", namespace, selector=selector)


def is_serving(endpoint: Mapping[str, Any]) -> bool:
    return (endpoint.get("conditions") or {}).get("ready") is not False
