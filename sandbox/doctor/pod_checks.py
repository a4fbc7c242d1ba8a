"""Finds why a pod does not run, from what the cluster knows of it: its containers, its node, its events."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sandbox.doctor.check import DoctorContext, Finding, Row, error, ok, row, warn
from sandbox.errors import UsageError
from sandbox.kube.api import Cluster
from sandbox.kube.deletion import is_leaving
from sandbox.kube.pods import UNPULLED, faults
from sandbox.kube.workload_status import is_ready, unschedulable
from sandbox.plan import saved_spec

LINES = 5
EVENTS = 5
MOST = 5  # pods of one name
PULL = (
    "correct its name, add it to images.yaml, or give pods a login for it (docs/images.md); sandbox images list{which} "
    "shows what the sandbox's registry has, sandbox doctor network{which} tests the way to others"
)


def examine(context: DoctorContext, text: str) -> Iterator[Row]:
    cluster, kubectl = context.cluster, saved_spec.kubectl(context.names)
    for pod in _pods(cluster, text, context.spec.namespace)[:MOST]:
        for id, finding in _findings(cluster, pod, kubectl):
            yield row(f"pod.{id}", finding, fix="", which=context.which)


def _pods(cluster: Cluster, text: str, only: str | None) -> list[dict[str, Any]]:
    namespace, _, name = text.rpartition("/")
    pods = cluster.list("v1", "Pod", namespace or only)
    matching = (
        [pod for pod in pods if pod["metadata"]["name"] == name]
        or [pod for pod in pods if _workload(pod) == name]
        or [pod for pod in pods if pod["metadata"]["name"].startswith(f"{name}-")]
    )
    if not matching:
        names = sorted({f"{pod['metadata']['namespace']}/{pod['metadata']['name']}" for pod in pods})
        raise UsageError(f"there is no pod {text}", details="\n".join(names), fix="name one of these, or its workload")
    return sorted(matching, key=lambda pod: str(pod["metadata"].get("creationTimestamp", "")), reverse=True)


def _workload(pod: Mapping[str, Any]) -> str:
    metadata = pod["metadata"]
    owners = (owner["name"] for owner in metadata.get("ownerReferences") or () if owner.get("controller"))
    return str(next(owners, "")).removesuffix(f"-{(metadata.get('labels') or {}).get('pod-template-hash', '')}")


def _findings(cluster: Cluster, pod: Mapping[str, Any], kubectl: str) -> Iterator[tuple[str, Finding]]:
    name, namespace = pod["metadata"]["name"], pod["metadata"]["namespace"]
    place = f"{namespace}/{name}"
    kubectl = f"{kubectl} -n {namespace}"
    refusals, troubles = list(unschedulable(pod)), list(faults(pod))
    for message in refusals:
        claim = "persistentvolumeclaim" in message.lower()
        fix = f"{kubectl} describe pvc" if claim else "change its requests, its selector or tolerations"
        yield "node", error(f"{place}: no node takes it: {message}", fix)
    for fault in troubles:
        evidence, container = f"{place}, {fault}", fault.container
        advice = f"{kubectl} logs {name} -c {container}{'' if fault.running else ' --previous'}"
        if fault.reason in UNPULLED:
            advice = PULL
        if fault.has_log:
            text = cluster.log(name, namespace, container=container, lines=LINES, previous=fault.running)
            lines = " | ".join(line.strip() for line in text.splitlines() if line.strip())
            evidence += f"; its last lines: {lines}" if lines else "; it wrote nothing"
        yield "container", error(evidence, fault.fix or advice)
    if is_leaving(pod):
        yield "leaving", warn(f"{place} is being deleted", f"{kubectl} get pods")
        return
    phase = (pod.get("status") or {}).get("phase", "not scheduled")
    if phase == "Succeeded" or is_ready(pod):
        yield "ready", ok(f"{place} {'has ended well' if phase == 'Succeeded' else 'is ready'}")
        return
    warnings = _warnings(cluster, pod)
    for message in warnings:
        yield "event", warn(f"{place}: {message}", f"{kubectl} describe pod {name}")
    if not (refusals or troubles or warnings):
        yield "state", warn(f"{place} is {phase}, and the cluster says nothing more", f"{kubectl} logs {name}")


def _warnings(cluster: Cluster, pod: Mapping[str, Any]) -> Sequence[str]:
    metadata = pod["metadata"]
    # The kubelet knows a static pod by the hash of its file.
    uids = (None, metadata.get("uid"), (metadata.get("annotations") or {}).get("kubernetes.io/config.hash"))
    events = [
        event
        for event in cluster.list("v1", "Event", metadata["namespace"])
        if event.get("type") == "Warning"
        and (about := event.get("involvedObject") or {}).get("name") == metadata["name"]
        and about.get("kind", "Pod") == "Pod"
        and about.get("uid") in uids
    ]
    events.sort(key=lambda event: str(event.get("lastTimestamp") or event.get("eventTime") or ""), reverse=True)
    texts = (f"{event.get('reason', '')}: {' '.join(str(event.get('message', '')).split())}" for event in events)
    return list(dict.fromkeys(texts))[:EVENTS]
