"""Finds why a pod does not run, from what the cluster knows of it: its containers, its node, its events."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sandbox.doctor.check import Finding, Row, error, ok, row, warn
from sandbox.doctor.doctor_context import DoctorContext
from sandbox.errors import UsageError
from sandbox.kube.api import Cluster
from sandbox.kube.deletion import is_leaving
from sandbox.kube.pod_faults import UNPULLED, Fault, faults
from sandbox.kube.pod_images import containers_in
from sandbox.kube.workload_status import is_ready, unschedulable
from sandbox.plan import providers

LINES = 5
EVENTS = 5
MOST = 5  # pods of one name
OWN_REGISTRY = ("localhost:", "127.0.0.1:")  # how names of images in the sandbox's registry begin

Found = Iterator[tuple[str, Finding]]


def examine(context: DoctorContext, text: str) -> Iterator[Row]:
    """Yield a row for each thing that is wrong with the pods called `text`: [NAMESPACE/]NAME, of a pod or a workload.

    Raises UsageError if there is none, SandboxError if there is no cluster.
    """
    cluster = context.cluster
    kubectl = providers.kubectl(context.names)
    for pod in _pods(cluster, text, context.spec.namespace)[:MOST]:
        for id, finding in _findings(cluster, pod, f"{kubectl} -n {pod['metadata']['namespace']}"):
            yield row(f"pod.{id}", finding, fix="", which=context.which)


def _pods(cluster: Cluster, text: str, only: str | None) -> list[dict[str, Any]]:
    namespace, _, name = text.rpartition("/")
    pods = cluster.list("v1", "Pod", namespace or only)
    found = (
        [one for one in pods if one["metadata"]["name"] == name]
        or [one for one in pods if _workload(one) == name]
        or [one for one in pods if one["metadata"]["name"].startswith(f"{name}-")]
    )
    if not found:
        known = sorted({f"{one['metadata']['namespace']}/{one['metadata']['name']}" for one in pods})
        raise UsageError(f"there is no pod {text}", details="\n".join(known), fix="name one of these, or its workload")
    return sorted(found, key=lambda one: str(one["metadata"].get("creationTimestamp", "")), reverse=True)


def _workload(pod: Mapping[str, Any]) -> str:
    metadata = pod["metadata"]
    owner = next((str(one["name"]) for one in metadata.get("ownerReferences") or () if one.get("controller")), "")
    return owner.removesuffix(f"-{(metadata.get('labels') or {}).get('pod-template-hash', '')}")


def _findings(cluster: Cluster, pod: Mapping[str, Any], kubectl: str) -> Found:
    metadata, status = pod["metadata"], pod.get("status") or {}
    name, namespace = metadata["name"], metadata["namespace"]
    place, found = f"{namespace}/{name}", False
    for message in unschedulable(pod):
        found = True
        claimed = "persistentvolumeclaim" in message.lower()
        fix = f"{kubectl} describe pvc" if claimed else "change its requests, its selector or tolerations"
        yield "node", error(f"{place}: no node takes it: {message}", fix)
    for fault in faults(pod):
        found = True
        words = _words(cluster, name, namespace, fault)
        logs = f"{kubectl} logs {name} -c {fault.container}{'' if fault.running else ' --previous'}"
        advice = _pull_advice(pod, fault.container) if fault.reason in UNPULLED else logs
        yield "container", error(f"{place}, {fault}{words}", fault.fix or advice)
    if is_leaving(pod):
        yield "leaving", warn(f"{place} is being deleted", f"{kubectl} get pods")
        return
    done = status.get("phase") == "Succeeded"
    if done or is_ready(pod):
        yield "ready", ok(f"{place} {'has ended well' if done else 'is ready'}")
        return
    warnings = _warnings(cluster, pod)
    for message in warnings:
        yield "event", warn(f"{place}: {message}", f"{kubectl} describe pod {name}")
    if not found and not warnings:
        said = str(status.get("phase", "not scheduled"))
        yield "state", warn(f"{place} is {said}, and the cluster says nothing more", f"{kubectl} logs {name}")


def _pull_advice(pod: Mapping[str, Any], container: str) -> str:
    known = containers_in(pod.get("spec"))
    image = next((str(one.get("image", "")) for one in known if one["name"] == container), "")
    if image.startswith(OWN_REGISTRY):
        return "name it in images.yaml, then sandbox up{which}; what is there: sandbox images list{which}"
    return (
        "correct its name, or give pods a login for it (docs/images.md); the way there: sandbox doctor network{which}"
    )


def _words(cluster: Cluster, pod: str, namespace: str, fault: Fault) -> str:
    if not fault.has_log:
        return ""
    text = cluster.log(pod, namespace, container=fault.container, lines=LINES, previous=fault.running)
    said = " | ".join(line.strip() for line in text.splitlines() if line.strip())
    return f"; its last lines: {said}" if said else "; it wrote nothing"


def _warnings(cluster: Cluster, pod: Mapping[str, Any]) -> Sequence[str]:
    metadata = pod["metadata"]
    # The kubelet knows a static pod by the hash of its file.
    known = (None, metadata.get("uid"), (metadata.get("annotations") or {}).get("kubernetes.io/config.hash"))
    events = [
        one
        for one in cluster.list("v1", "Event", metadata["namespace"])
        if one.get("type") == "Warning"
        and (about := one.get("involvedObject") or {}).get("name") == metadata["name"]
        and about.get("kind", "Pod") == "Pod"
        and about.get("uid") in known
    ]
    events.sort(key=lambda one: str(one.get("lastTimestamp") or one.get("eventTime") or ""), reverse=True)
    said = (f"{one.get('reason', '')}: {' '.join(str(one.get('message', '')).split())}" for one in events)
    return list(dict.fromkeys(said))[:EVENTS]
