"""Waits until workloads are ready, and until pods have seen changes."""

import math
import re
import textwrap
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sandbox.kube.api import FORBIDDEN, Cluster, ClusterError, Manifest, Say, log, title
from sandbox.kube.apply_attempts import is_unanswered
from sandbox.kube.deletion import is_leaving
from sandbox.kube.manifests import pod_selector
from sandbox.kube.pods import CRASHES, MISSING_PATIENCE, Outlook, containers, faults
from sandbox.kube.workload_status import (
    LEAVING,
    WORKLOADS,
    conditions,
    is_by_hand,
    is_ready,
    is_seen,
    pods_of,
    progress,
    unschedulable,
)
from sandbox.system.wait import wait_until

EVERY = 0.5  # seconds between two reads of the workloads and their pods
# Once one workload has failed, others that are still starting get this long to fail as well: one error names all.
SETTLING = 15.0  # seconds
# Without a readiness probe, a pod is ready while its program runs, also one that is about to crash.
STEADY = 2.0  # seconds
# The scheduler's words for a pod whose needs no node will meet by itself, unlike a taint or a claim that is not bound.
UNMET = re.compile(r"didn't match|free ports|Insufficient|persistentvolumeclaim \S+ not found")
# How long pods of an earlier revision may end, which have what the new ones need.
NO_ROOM_PATIENCE = 60.0  # seconds
# Reasons of events whose messages are in no status: of the kubelet, of the controllers of StatefulSets, DaemonSets and
# Jobs for refused pods, and of the controller of volumes.
WARNINGS = ("Unhealthy", "FailedMount", "FailedCreate", "ProvisioningFailed")
# Messages of such events about what stays so until a user changes something.
LASTING = re.compile(
    r"(secret|configmap|storageclass)\S* \S+ not found|references non-existent|probe errored.*failed to start exec"
    r"|is forbidden: |is invalid: |denied the request",
    re.DOTALL,
)
LINES = 15
SEEN = "sandbox.dev/seen"
REVISION = "controller-revision-hash"
# A pod of an earlier revision may still become ready; Kubernetes then replaces it by itself.
STUCK_PATIENCE = 30.0  # seconds
# When pods run and are not ready for so long, events about them are shown.
UNREADY = 10.0  # seconds


@dataclass(frozen=True)
class _Trouble:
    state: str
    ended: bool = False
    outlook: Outlook = Outlook.OPEN
    evidence: str = ""
    crashes: int = 0
    fix: str = ""

    def __str__(self) -> str:
        return "; ".join(filter(None, (self.state, self.evidence)))


def wait_ready(
    cluster: Cluster,
    manifests: Iterable[Manifest],
    *,
    timeout: float,
    say: Say = log.debug,
    check: Callable[[], None] = lambda: None,
) -> None:
    """Wait until every workload among `manifests` is ready; otherwise raise ClusterError with the pods' own words.

    A workload that is gone by now, or being deleted, cannot become ready: the step's check reports it. `check` is
    called while a workload is not ready, and raises to end the wait.
    """
    waiting = _Waiting(cluster, manifests, say)

    def state() -> str | None:
        if problem := waiting.state():
            check()
        return problem

    wait_until(state, what="workloads", timeout=timeout, pause=EVERY, say=say)


class _Waiting:
    def __init__(self, cluster: Cluster, manifests: Iterable[Manifest], say: Say) -> None:
        self._cluster, self._say = cluster, say
        self._workloads = [manifest for manifest in manifests if manifest["kind"] in WORKLOADS]
        self._begun = time.monotonic()
        self._unprobed: set[str] = set()  # those that came up meanwhile, and are ready whenever their programs run
        self._steady_since: float | None = None
        self._failed_since: float | None = None
        self._crashes: dict[str, int] | None = None  # by title, as of when nothing was starting any more

    def state(self) -> str | None:
        now = time.monotonic()
        troubles = self._troubles(now)
        self._steady_since = None if troubles else self._steady_since or now
        if self._steady_since is not None and self._unprobed and now < self._steady_since + STEADY:
            return f"{', '.join(self._unprobed)}: ready for a moment"
        failed = self._failed(troubles)
        self._failed_since = (self._failed_since or now) if failed else None
        patience = 0.0 if all(trouble.ended or trouble.evidence for trouble in troubles.values()) else SETTLING
        if self._failed_since is not None and now >= self._failed_since + patience:
            raise _failure({name: trouble for name, trouble in troubles.items() if name in failed or trouble.evidence})
        return "\n".join(f"{name}: {trouble}" for name, trouble in troubles.items()) or None

    def _troubles(self, now: float) -> Mapping[str, _Trouble]:
        pairs = [(manifest, _live(self._cluster, manifest)) for manifest in self._workloads]
        present = [(manifest, live) for manifest, live in pairs if live and not is_leaving(live)]
        self._workloads = [manifest for manifest, _ in present]  # a ready one may crash while others come up
        troubles = {}
        for _, live in present:
            _replace_stuck(self._cluster, live, self._say)
            if trouble := _trouble(self._cluster, live, now - self._begun):
                troubles[title(live)] = trouble
                programs = containers(live, ("containers",))
                if live["kind"] != "Job" and any("readinessProbe" not in container for container in programs):
                    self._unprobed.add(title(live))
        return troubles

    def _failed(self, troubles: Mapping[str, _Trouble]) -> list[str]:
        # A program that crashes may wait for another workload, and gets one more start once all others are up.
        is_any_starting = any(trouble.outlook is Outlook.OPEN and not trouble.crashes for trouble in troubles.values())
        if is_any_starting:
            self._crashes = None
        elif self._crashes is None:
            self._crashes = {name: trouble.crashes for name, trouble in troubles.items()}
        failed = []
        for name, trouble in troubles.items():
            has_crashed_again = not trouble.crashes or trouble.crashes > (self._crashes or {}).get(name, 0)
            is_last = trouble.outlook is Outlook.POOR and not is_any_starting and has_crashed_again
            if is_last or trouble.outlook is Outlook.NONE:
                failed.append(name)
        return failed


def troubles(cluster: Cluster, manifests: Iterable[Manifest]) -> Iterator[str]:
    for manifest in manifests:
        live = _live(cluster, manifest) if manifest["kind"] in WORKLOADS else None
        if live and (trouble := _trouble(cluster, live, math.inf)):
            yield f"{title(manifest)}: {trouble}"


def refresh_pods(cluster: Cluster, namespace: str, mark: str) -> None:
    """Have the kubelet update ConfigMaps and Secrets in pods of a namespace at once; `mark` identifies their content.

    By itself it does so when it next syncs the pod; a changed annotation makes it sync.
    """
    for pod in cluster.list("v1", "Pod", namespace):
        if not is_leaving(pod):
            with suppress(ClusterError):  # deleted meanwhile
                cluster.change(pod, {"metadata": {"annotations": {SEEN: mark}}})


def _replace_stuck(cluster: Cluster, live: Manifest, say: Say) -> None:
    # Kubernetes waits for such a pod of an earlier revision before it replaces any, also when the new one repairs it
    # (https://kubernetes.io/docs/concepts/workloads/controllers/statefulset/#forced-rollback).
    status = live.get("status") or {}
    is_updating = is_seen(live) and status.get("replicas", 0) > status.get("updatedReplicas", 0)
    if live["kind"] != "StatefulSet" or not is_updating or is_by_hand(live.get("spec") or {}):
        return
    namespace = live["metadata"].get("namespace", "default")
    for pod in cluster.list("v1", "Pod", namespace, selector=pod_selector(live)):
        revision = (pod["metadata"].get("labels") or {}).get(REVISION)
        if revision in (None, status.get("updateRevision")) or is_leaving(pod) or is_ready(pod):
            continue
        since = next((condition.get("lastTransitionTime") for condition in conditions(pod, "Ready")), None)
        if not since or (datetime.now(UTC) - datetime.fromisoformat(since)).total_seconds() <= STUCK_PATIENCE:
            continue
        name = pod["metadata"]["name"]
        say(f"replacing pod {name}, which is of an earlier revision and not ready")
        try:
            cluster.delete("v1", "Pod", name, namespace)
        except ClusterError as error:
            error.fix = error.fix or f"kubectl --namespace {namespace} delete pod {name}, then sandbox up"
            raise


def _live(cluster: Cluster, manifest: Manifest) -> dict[str, Any] | None:
    metadata = manifest["metadata"]
    return cluster.get(manifest["apiVersion"], manifest["kind"], metadata["name"], metadata.get("namespace", "default"))


def _failure(troubles: Mapping[str, _Trouble]) -> ClusterError:
    names, first = ", ".join(troubles), next(iter(troubles.values()))
    end = "failed" if all(trouble.ended for trouble in troubles.values()) else "cannot start"
    fix = "; ".join(dict.fromkeys(trouble.fix for trouble in troubles.values() if trouble.fix))
    if len(troubles) == 1:
        return ClusterError(f"{names} {end}", details=first.evidence or first.state, fix=fix)
    details = "\n".join(f"{name}: {trouble}" for name, trouble in troubles.items())
    return ClusterError(f"{len(troubles)} workloads: {names} {end}", details=details, fix=fix)


def _trouble(cluster: Cluster, live: Manifest, waited: float) -> _Trouble | None:
    try:
        state, ended = progress(live), False
    except ClusterError as error:
        state, ended = error.details or "failed", True
    if state is None or is_leaving(live):
        return None if state is None else _Trouble(state)
    namespace = live["metadata"].get("namespace", "default")
    crashes = (live.get("status") or {}).get("failed", 0) if live["kind"] == "Job" else 0
    evidence, fixes = [condition.get("message", "") for condition in conditions(live, "ReplicaFailure")], [""]
    is_refused = any(not is_unanswered(message) for message in evidence)  # a webhook may answer later
    outlooks = [Outlook.NONE] if ended or (is_refused and waited > MISSING_PATIENCE) else []
    if crashes >= CRASHES:
        outlooks.append(Outlook.POOR)
    pods = pods_of(cluster, live, namespace)
    for pod in pods:
        name = pod["metadata"]["name"]
        for message in unschedulable(pod):
            evidence.append(f"pod {name}: no node takes it: {message}")
            patience = NO_ROOM_PATIENCE if "Insufficient" in message else MISSING_PATIENCE
            outlooks.append(Outlook.POOR if UNMET.search(message) and waited > patience else Outlook.OPEN)
        for fault in faults(pod):
            outlooks.append(fault.outlook(waited))
            crashes += fault.restarts
            fixes.append(fault.fix)
            words = ""
            if fault.has_log:
                text = cluster.log(name, namespace, container=fault.container, lines=LINES, previous=fault.running)
                words = textwrap.indent(f"\n{text.rstrip()}", "    ") if text.strip() else ""
            evidence.append(f"pod {name}, {fault}{words}")
    warnings = list(_warnings(cluster, live, pods)) if waited > UNREADY and not ended else []
    for message in warnings if waited > MISSING_PATIENCE else ():
        if LASTING.search(message):
            evidence.append(message)
            outlooks.append(Outlook.POOR)
    if warnings and not evidence:
        state = f"{state}; {warnings[0]}"
    return _Trouble(
        state,
        ended=ended,
        outlook=next((outlook for outlook in (Outlook.NONE, Outlook.POOR) if outlook in outlooks), Outlook.OPEN),
        evidence="\n".join(dict.fromkeys(evidence)),
        crashes=crashes,
        fix=next(filter(None, fixes), ""),
    )


def _warnings(cluster: Cluster, live: Manifest, pods: Sequence[Manifest]) -> Iterator[str]:
    kind, name, namespace = live["kind"], live["metadata"]["name"], live["metadata"].get("namespace", "default")
    status, wanted = live.get("status") or {}, (live.get("spec") or {}).get("replicas", 0)
    scheduled, desired = status.get("currentNumberScheduled", 0), status.get("desiredNumberScheduled", 0)
    lacks_pods = not pods or status.get("replicas", 0) < wanted or scheduled < desired
    subjects = {(kind, name): ""} if lacks_pods else {}
    for pod in pods:
        subjects["Pod", pod["metadata"]["name"]] = f"pod {pod['metadata']['name']}: "
        for volume in (pod.get("spec") or {}).get("volumes") or ():
            if claim := (volume.get("persistentVolumeClaim") or {}).get("claimName"):
                subjects["PersistentVolumeClaim", claim] = f"claim {claim}: "
    try:
        events = cluster.list("v1", "Event", namespace)
    except ClusterError as error:
        if error.status != FORBIDDEN:  # accounts that may not list events do without: they only explain
            raise
        events = []
    events.sort(key=lambda event: str(event.get("lastTimestamp") or ""))
    places = ((event.get("involvedObject") or {}, event) for event in events)
    last = {(place.get("kind"), place.get("name")): event for place, event in places}
    for subject, prefix in subjects.items():
        if subject in last and last[subject].get("reason") in WARNINGS:
            yield f"{prefix}{str(last[subject].get('message', '')).strip()}"
    selector = pod_selector(live)
    for pod in cluster.list("v1", "Pod", namespace, selector=selector) if selector else ():
        if is_leaving(pod):
            node = (pod.get("spec") or {}).get("nodeName", "")
            yield f"pod {pod['metadata']['name']} on {node} {LEAVING}, and has not ended"
