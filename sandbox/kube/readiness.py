"""Waits until workloads are ready, and until pods have seen changes."""

from __future__ import annotations

import math
import re
import textwrap
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from sandbox.kube import stuck_pods
from sandbox.kube.api import Cluster, ClusterError, Manifest, Say, log, title
from sandbox.kube.apply_attempts import is_unanswered
from sandbox.kube.deletion import is_leaving
from sandbox.kube.manifests import pod_selector
from sandbox.kube.pod_faults import (
    APPLY_MISSING,
    CRASHES,
    MISSING_LONGEST,
    MISSING_PATIENCE,
    Fault,
    Outlook,
    faults,
    impossible_probes,
)
from sandbox.kube.pod_images import containers
from sandbox.kube.workload_status import (
    LEAVING,
    WORKLOADS,
    conditions,
    is_ready,
    lacks_pods,
    pods_of,
    progress,
    unschedulable,
)
from sandbox.system.wait import WaitTimeout, wait_until

EVERY = 0.5  # seconds between two reads of the workloads and their pods
# Once one workload has failed, others that are still starting get this long to fail as well: one error names all.
SETTLING = 15.0  # seconds
# Without a readiness probe, a pod is ready while its program runs, also one that is about to crash.
STEADY = 2.0  # seconds
# The scheduler's words for a pod whose needs no node will meet by itself, unlike a taint or a claim that is not bound.
UNMET = re.compile(r"didn't match|free ports|Insufficient|persistentvolumeclaim \S+ not found")
# The kubelet's words for a volume made from an object that does not exist, in events only.
NOT_MOUNTED = "FailedMount"
UNMADE = re.compile(r"(secret|configmap) \S+ not found|references non-existent")
# The words of the controller of volumes for a claim that nothing will bind, in events only.
NOT_PROVISIONED = "ProvisioningFailed"
CLASSLESS = re.compile(r"storageclass\S* \S+ not found")
CHOOSE_CLASS = "leave storageClassName out, for the cluster's default; or add a StorageClass of that name to `apply`"
# Reasons of the controllers of StatefulSets, DaemonSets and Jobs for refused pods, and for others, in events only.
REFUSED, MADE, REMOVED = "FailedCreate", "SuccessfulCreate", "SuccessfulDelete"
FORBIDDEN = 403
LINES = 15
SEEN = "sandbox.dev/seen"
# When pods run and are not ready for so long, the messages of their probes are shown.
UNREADY = 10.0  # seconds


@dataclass(frozen=True)
class _Trouble:
    """Why a workload is not ready: its `state`, its pods' faults, the evidence, and the fix."""

    state: str
    ended: bool = False
    outlook: Outlook = Outlook.OPEN
    evidence: str = ""
    crashes: int = 0
    fix: str = ""

    @property
    def is_starting(self) -> bool:
        return self.outlook is Outlook.OPEN and not self.crashes

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
        problem = waiting.state()
        if problem:
            check()
        return problem

    try:
        wait_until(state, what="workloads", timeout=timeout, pause=EVERY, say=say)
    except WaitTimeout as error:
        with suppress(ClusterError):
            error.details = "\n".join((error.details, *waiting.messages(error.details)))
        raise


class _Waiting:
    """The workloads of one `wait_ready`."""

    def __init__(self, cluster: Cluster, manifests: Iterable[Manifest], say: Say) -> None:
        self._cluster, self._say = cluster, say
        self._workloads = [manifest for manifest in manifests if manifest["kind"] in WORKLOADS]
        self._begun = time.monotonic()
        self._unready: Sequence[Manifest] = ()
        self._unprobed: set[str] = set()  # those that came up meanwhile, and are ready whenever their programs run
        self._steady_since: float | None = None
        self._failed_since: float | None = None
        self._crashes: dict[str, int] | None = None  # by title, as of when nothing was starting any more

    def state(self) -> str | None:
        """Return what is not ready yet, or None. Raises ClusterError once waiting cannot help."""
        now = time.monotonic()
        troubles = self._troubles(now)
        self._steady_since = None if troubles else self._steady_since or now
        if self._steady_since is not None and self._unprobed and now < self._steady_since + STEADY:
            return f"{', '.join(self._unprobed)}: ready for a moment"
        failed = self._failed(troubles)
        self._failed_since = (self._failed_since or now) if failed else None
        patience = 0.0 if all(trouble.ended or trouble.evidence for trouble in troubles.values()) else SETTLING
        if self._failed_since is not None and now >= self._failed_since + patience:
            explained = {name: trouble for name, trouble in troubles.items() if name in failed or trouble.evidence}
            raise _failure(explained)
        return "\n".join(f"{name}: {trouble}" for name, trouble in troubles.items()) or None

    def messages(self, known: str) -> list[str]:
        """Return the last messages about pods of unready workloads that are not in `known`. Raises ClusterError."""
        workloads = (_live(self._cluster, manifest) for manifest in self._unready)
        messages = [line for live in workloads if live for line in _messages(self._cluster, live)]
        return [line for line in messages if line not in known]

    def _troubles(self, now: float) -> Mapping[str, _Trouble]:
        """Return what is wrong with the workloads that exist, by their titles."""
        pairs = [(manifest, _live(self._cluster, manifest)) for manifest in self._workloads]
        present = [(manifest, live) for manifest, live in pairs if live and not is_leaving(live)]
        self._workloads = [manifest for manifest, _ in present]  # a ready one may crash while others come up
        troubles, self._unready = {}, []
        for manifest, live in present:
            stuck_pods.replace(self._cluster, live, self._say)
            if trouble := _trouble(self._cluster, live, now - self._begun):
                troubles[title(live)] = trouble
                self._unready.append(manifest)
                if _is_unprobed(live):
                    self._unprobed.add(title(live))
        return troubles

    def _failed(self, troubles: Mapping[str, _Trouble]) -> list[str]:
        """Return the titles of workloads for which waiting is useless.

        A program that crashes may wait for another workload, and gets one more start once all others are up.
        """
        is_any_starting = any(trouble.is_starting for trouble in troubles.values())
        if is_any_starting:
            self._crashes = None
        elif self._crashes is None:
            self._crashes = {name: trouble.crashes for name, trouble in troubles.items()}
        before = self._crashes or {}

        def is_hopeless(name: str, trouble: _Trouble) -> bool:
            if trouble.outlook is Outlook.POOR:
                crashed_again = not trouble.crashes or trouble.crashes > before.get(name, 0)
                return not is_any_starting and crashed_again
            return trouble.outlook is Outlook.NONE

        return [name for name, trouble in troubles.items() if is_hopeless(name, trouble)]


def pending(cluster: Cluster, manifest: Manifest, *, waited: float = 0.0) -> str | None:
    """Return what the workload still waits for, or None when it is ready. Raises ClusterError if it cannot become so.

    What it is made from may be missing for a while, and so may an image; `waited` is how many seconds it has been.
    """
    live = _live(cluster, manifest)
    if live is None:
        return "absent"
    trouble = _trouble(cluster, live, waited)
    if trouble and trouble.outlook is not Outlook.OPEN:
        raise _failure({title(live): trouble})
    return str(trouble) if trouble else None


def troubles(cluster: Cluster, manifests: Iterable[Manifest]) -> Iterator[str]:
    """Yield what is wrong with each workload that exists and is not ready. Raises ClusterError."""
    for manifest in manifests:
        live = _live(cluster, manifest) if manifest["kind"] in WORKLOADS else None
        if live and (trouble := _trouble(cluster, live, math.inf)):
            yield f"{title(manifest)}: {trouble}"


def refresh_pods(cluster: Cluster, namespace: str, mark: str, *, selector: str = "") -> None:
    """Have the kubelet update ConfigMaps and Secrets in pods of a namespace at once; `mark` identifies their content.

    By itself it does so when it next syncs the pod; a changed annotation makes it sync.
    """
    for pod in cluster.list("v1", "Pod", namespace, selector=selector):
        if not is_leaving(pod):
            with suppress(ClusterError):  # deleted meanwhile
                cluster.annotate(pod, {SEEN: mark})


def _live(cluster: Cluster, manifest: Manifest) -> dict[str, Any] | None:
    metadata = manifest["metadata"]
    return cluster.get(manifest["apiVersion"], manifest["kind"], metadata["name"], metadata.get("namespace", "default"))


def _is_unprobed(live: Manifest) -> bool:
    """Return whether the workload has a container without a readiness probe, which is ready until it ends."""
    programs = containers(live, ("containers",))
    return live["kind"] != "Job" and any("readinessProbe" not in container for container in programs)


def _failure(troubles: Mapping[str, _Trouble]) -> ClusterError:
    """Return the error for workloads that cannot start, by their titles."""
    names, first = ", ".join(troubles), next(iter(troubles.values()))
    end = "failed" if all(trouble.ended for trouble in troubles.values()) else "cannot start"
    fix = "; ".join(dict.fromkeys(trouble.fix for trouble in troubles.values() if trouble.fix))
    if len(troubles) == 1:
        return ClusterError(f"{names} {end}", details=first.evidence or first.state, fix=fix)
    details = "\n".join(f"{name}: {trouble}" for name, trouble in troubles.items())
    return ClusterError(f"{len(troubles)} workloads: {names} {end}", details=details, fix=fix)


def _trouble(cluster: Cluster, live: Manifest, waited: float) -> _Trouble | None:
    """Return why a workload is not ready, `waited` seconds after it was applied; None when it is."""
    try:
        state, ended = progress(live), False
    except ClusterError as error:
        state, ended = error.details or "failed", True
    if state is None or is_leaving(live):
        return None if state is None else _Trouble(state)
    namespace = live["metadata"].get("namespace", "default")
    crashes = (live.get("status") or {}).get("failed", 0) if live["kind"] == "Job" else 0
    evidence, fixes = [condition.get("message", "") for condition in conditions(live, "ReplicaFailure")], [""]
    if waited > MISSING_PATIENCE and lacks_pods(live):
        evidence += _refusal(cluster, live, namespace)
    is_refused = any(not is_unanswered(message) for message in evidence)  # a webhook may answer later
    outlooks = [Outlook.NONE] if ended or (is_refused and waited > MISSING_PATIENCE) else []
    if crashes >= CRASHES:
        outlooks.append(Outlook.POOR)
    pods = pods_of(cluster, live, namespace)
    for pod in pods:
        name = pod["metadata"]["name"]
        for message in unschedulable(pod):
            evidence.append(f"pod {name}: no node takes it: {message}")
            patience = MISSING_LONGEST if "Insufficient" in message else MISSING_PATIENCE
            outlooks.append(Outlook.POOR if UNMET.search(message) and waited > patience else Outlook.OPEN)
        for message, fix in _missing_for_volumes(cluster, pod, namespace) if waited > MISSING_PATIENCE else ():
            evidence.append(f"pod {name}: {message}")
            fixes.append(fix)
            outlooks.append(Outlook.POOR)
        for fault in faults(pod):
            if fault.again:
                state = f"{state}; pod {name}, {fault}"
                continue
            outlooks.append(fault.outlook(waited))
            crashes += fault.restarts
            fixes.append(fault.fix)
            words = _last_words(cluster, name, namespace, fault) if fault.has_log else ""
            evidence.append(f"pod {name}, {fault}" + (f"\n{words}" if words else ""))
    if not evidence and not ended and waited > UNREADY:
        for message, fix in _impossible_probes(cluster, pods, namespace):
            evidence.append(message)
            fixes.append(fix)
            outlooks.append(Outlook.NONE)
        if not evidence and (message := next(_messages(cluster, live), "")):
            state = f"{state}; {message}"
    return _Trouble(
        state,
        ended=ended,
        outlook=next((outlook for outlook in (Outlook.NONE, Outlook.POOR) if outlook in outlooks), Outlook.OPEN),
        evidence="\n".join(dict.fromkeys(evidence)),
        crashes=crashes,
        fix=next(filter(None, fixes), ""),
    )


def _impossible_probes(cluster: Cluster, pods: Iterable[Manifest], namespace: str) -> Iterator[tuple[str, str]]:
    events = _events(cluster, namespace, "Unhealthy")
    for pod in pods:
        for message, fix in impossible_probes(pod, events) if not is_ready(pod) else ():
            yield f"pod {pod['metadata']['name']}, {message}", fix


def _messages(cluster: Cluster, live: Manifest) -> Iterator[str]:
    """Yield what the state of a workload's pods does not contain: messages of probes and volumes, and pods that stay.

    The kubelet keeps these messages in events only (kubernetes, pkg/kubelet/prober/prober.go: recordContainerEvent).
    """
    namespace = live["metadata"].get("namespace", "default")
    pods = {pod["metadata"]["name"] for pod in pods_of(cluster, live, namespace)}
    for reason in ("Unhealthy", NOT_MOUNTED):
        last = _last_events(cluster, namespace, reason)
        yield from (f"pod {pod}: {message}" for pod, message in last.items() if pod in pods)
    selector = pod_selector(live)
    for pod in cluster.list("v1", "Pod", namespace, selector=selector) if selector else ():
        if is_leaving(pod):
            node = (pod.get("spec") or {}).get("nodeName", "")
            yield f"pod {pod['metadata']['name']} on {node} {LEAVING}, and has not ended"


def _events(cluster: Cluster, namespace: str, *reasons: str) -> list[Manifest]:
    """Return a namespace's events, the last one last; none for an account that may not list them: they only explain."""
    try:
        events = cluster.list("v1", "Event", namespace)
    except ClusterError as refused:
        if refused.status != FORBIDDEN:
            raise
        return []
    return sorted(
        (event for event in events if event.get("reason") in reasons),
        key=lambda event: str(event.get("lastTimestamp") or ""),
    )


def _last_events(cluster: Cluster, namespace: str, reason: str) -> Mapping[str, str]:
    """Return the last message of events with a reason, by the name of the object."""
    events = _events(cluster, namespace, reason)
    return {str((event.get("involvedObject") or {}).get("name")): _message(event) for event in events}


def _message(event: Manifest) -> str:
    return str(event.get("message", "")).strip()


def _refusal(cluster: Cluster, live: Manifest, namespace: str) -> Iterator[str]:
    """Yield why a workload without a condition for it gets no pod, if that is the last thing its controller did."""
    own = {"kind": live["kind"], "name": live["metadata"]["name"]}
    events = _events(cluster, namespace, REFUSED, MADE, REMOVED)
    last = [event for event in events if own.items() <= (event.get("involvedObject") or {}).items()][-1:]
    yield from (_message(event) for event in last if event["reason"] == REFUSED)


def _missing_for_volumes(cluster: Cluster, pod: Manifest, namespace: str) -> Iterator[tuple[str, str]]:
    """Yield which objects the volumes of a pod that does not start lack, and what to do about each."""
    if (pod.get("status") or {}).get("phase") != "Pending":
        return
    message = _last_events(cluster, namespace, NOT_MOUNTED).get(pod["metadata"]["name"], "")
    if UNMADE.search(message):
        yield message, APPLY_MISSING
    volumes = (pod.get("spec") or {}).get("volumes") or ()
    claims = [volume["persistentVolumeClaim"]["claimName"] for volume in volumes if "persistentVolumeClaim" in volume]
    failed = _last_events(cluster, namespace, NOT_PROVISIONED) if claims else {}
    for claim in claims:
        if CLASSLESS.search(message := failed.get(claim, "")):
            yield f"claim {claim}: {message}", CHOOSE_CLASS


def _last_words(cluster: Cluster, pod: str, namespace: str, fault: Fault) -> str:
    text = cluster.log(pod, namespace, container=fault.container, lines=LINES, previous=fault.running)
    return textwrap.indent(text.rstrip(), "    ")
