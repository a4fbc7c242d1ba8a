"""Why a workload's pods are as they are: their states, and the cluster's events about them."""

from __future__ import annotations

from collections.abc import Iterator

from sandbox.app.running.project_workloads import Workload
from sandbox.kube.api import Cluster, Manifest

MOST = 30  # events, the newest


def lines(cluster: Cluster, workload: Workload) -> Iterator[str]:
    """Yield a line for each pod and container, and for each event, the newest last. Raises ClusterError."""
    pods = workload.pods(cluster)
    for pod in pods:
        status = pod.get("status") or {}
        yield f"pod {pod['metadata']['name']}: {status.get('phase', 'Pending')}"
        for container in (*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())):
            yield f"  container {container['name']}: {_state(container)}"
    if not pods:
        yield "no pods"
    owners = {str(owner["uid"]) for pod in pods for owner in pod["metadata"].get("ownerReferences") or ()}
    uids = {str(workload.manifest["metadata"]["uid"]), *owners, *(str(pod["metadata"]["uid"]) for pod in pods)}
    events = [
        event
        for event in cluster.list("v1", "Event", workload.namespace)
        if (event.get("involvedObject") or {}).get("uid") in uids
    ]
    for event in sorted(events, key=_time)[-MOST:]:
        times = f" ({event['count']} times)" if (event.get("count") or 1) > 1 else ""
        about = event["involvedObject"]
        message = " ".join(str(event.get("message", "")).split())
        yield f"{_time(event)} {about['kind']}/{about['name']} {event.get('reason', '')}: {message}{times}"


def _time(event: Manifest) -> str:
    return str(event.get("lastTimestamp") or event.get("eventTime") or event["metadata"].get("creationTimestamp", ""))


def _state(container: Manifest) -> str:
    name, state = next(iter((container.get("state") or {"waiting": {}}).items()))
    reason = " ".join(str(state[key]) for key in ("reason", "exitCode", "message") if state.get(key) is not None)
    ready = "ready" if container.get("ready") else "not ready"
    restarts = f", {container['restartCount']} restarts" if container.get("restartCount") else ""
    return f"{name} {reason}".strip() + f", {ready}{restarts}"
