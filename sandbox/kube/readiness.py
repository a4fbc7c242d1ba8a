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
)
from sandbox.kube.pod_images import containers
from sandbox.kube.workload_status import (
    LEAVING,
    WORKLOADS,
    conditions,
    lacks_pods,
    pods_of,
    progress,
    unschedulable,
)
from sandbox.system.wait import WaitTimeout, wait_until

# Once one workload has failed, the others get this many seconds to fail as well, so that one error names all; a third
# of it if only ready ones can still fail.
SETTLING = 15.0  # seconds
# Without a readiness probe, a pod is ready while its program runs, also one that is about to crash.
STEADY = 2.0  # seconds
EVERY = 0.5  # seconds between two reads of the workloads and their pods
# What the scheduler says of a pod whose needs no node will meet by itself, unlike a taint or a claim that is not bound.
UNMET = re.compile(r"didn't match|free ports|Insufficient|persistentvolumeclaim \S+ not found")
# What the kubelet says of a volume made from an object that is not there, in events only.
NOT_MOUNTED = "FailedMount"
UNMADE = re.compile(r"(secret|configmap) \S+ not found|references non-existent")
# What the controller of volumes says of a claim that nothing will bind, in events only.
NOT_PROVISIONED = "ProvisioningFailed"
CLASSLESS = re.compile(r"storageclass\S* \S+ not found")
CHOOSE_CLASS = "leave storageClassName out, for the cluster's default; or add a StorageClass of that name to `apply`"
# What the controllers of StatefulSets, DaemonSets and Jobs say of pods that are refused, and of others, in events only.
REFUSED, MADE, REMOVED = "FailedCreate", "SuccessfulCreate", "SuccessfulDelete"
FORBIDDEN = 403
LINES = 15
SEEN = "sandbox.dev/seen"
# When pods run and are not ready for so long, their probes are asked why, which the kubelet keeps in events only.
UNREADY = 10.0  # seconds


@dataclass(frozen=True)
class _Trouble:
    """What is wrong with a workload that is not ready: its `state`, its pods' faults, the evidence, what to do."""

    state: str
    ended: bool = False
    outlook: Outlook = Outlook.OPEN
    evidence: str = ""
    crashes: int = 0
    fix: str = ""

    def __str__(self) -> str:
        return "; ".join(one for one in (self.state, self.evidence) if one)


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
    called while one is not ready, and raises to end the wait.
    """
    waiting = _Waiting(cluster, manifests, say)

    def state() -> str | None:
        if found := waiting.state():
            check()
        return found

    try:
        wait_until(state, what="workloads", timeout=timeout, pause=EVERY, say=say)
    except WaitTimeout as error:
        with suppress(ClusterError):
            more = (one for one in waiting.probed() if one not in error.details)
            error.details = "\n".join((error.details, *more))
        raise


class _Waiting:
    """The workloads of one `wait_ready`, and what was read of them so far."""

    def __init__(self, cluster: Cluster, manifests: Iterable[Manifest], say: Say) -> None:
        self._cluster, self._say = cluster, say
        self._waiting = [manifest for manifest in manifests if manifest["kind"] in WORKLOADS]
        self._begun = time.monotonic()
        self._unready: Sequence[Manifest] = ()
        self._unprobed: set[str] = set()  # those that came up meanwhile, and are ready whenever their programs run
        self._steady_since: float | None = None
        self._failed_since: float | None = None
        self._crashing = _Crashing()

    def state(self) -> str | None:
        """Return what is not ready yet, or None. Raises ClusterError once waiting cannot help."""
        now = time.monotonic()
        troubles = self._troubles(now)
        self._steady_since = None if troubles else self._steady_since or now
        if self._steady_since is not None and self._unprobed and now < self._steady_since + STEADY:
            return f"{', '.join(self._unprobed)}: ready for a moment"
        failed = self._crashing.hopeless(troubles)
        self._failed_since = (self._failed_since or now) if failed else None
        if self._failed_since is not None and now >= self._failed_since + self._patience(troubles):
            raise _failure({name: one for name, one in troubles.items() if name in failed or one.evidence})
        return "\n".join(f"{name}: {one}" for name, one in troubles.items()) or None

    def probed(self) -> list[str]:
        """Return the last messages of probes about workloads that are not ready. Raises ClusterError."""
        found = [live for one in self._unready if (live := _find(self._cluster, one))]
        return [line for live in found for line in _probed(self._cluster, live)]

    def _troubles(self, now: float) -> Mapping[str, _Trouble]:
        """Return what is wrong with the workloads that are there, by their titles."""
        found = [(one, live) for one in self._waiting if (live := _find(self._cluster, one)) and not is_leaving(live)]
        read = {title(one): self._trouble(live, now) for one, live in found}
        self._waiting = [one for one, _ in found]  # what is ready may crash while others come up
        troubles = {name: one for name, one in read.items() if one}
        self._unready = [one for one in self._waiting if title(one) in troubles]
        self._unprobed.update(title(live) for _, live in found if title(live) in troubles and _is_unprobed(live))
        return troubles

    def _trouble(self, live: Manifest, now: float) -> _Trouble | None:
        stuck_pods.replace(self._cluster, live, self._say)
        return _trouble(self._cluster, live, now - self._begun)

    def _patience(self, troubles: Mapping[str, _Trouble]) -> float:
        if not all(map(_is_explained, troubles.values())):
            return SETTLING
        return 0.0 if len(troubles) == len(self._waiting) else SETTLING / 3


class _Crashing:
    """Counts crashes: what crashes may wait for another workload, and gets one more start once all of those are up."""

    def __init__(self) -> None:
        self._crashes: dict[str, int] | None = None  # as of when nothing was coming up any more

    def hopeless(self, troubles: Mapping[str, _Trouble]) -> list[str]:
        """Return the workloads for which waiting is useless."""
        coming = [name for name, one in troubles.items() if one.outlook is Outlook.OPEN and not one.crashes]
        if coming:
            self._crashes = None
        elif self._crashes is None:
            self._crashes = {name: one.crashes for name, one in troubles.items()}
        before = self._crashes or {}
        return [name for name, one in troubles.items() if _is_hopeless(one, before.get(name), coming)]


def _probed(cluster: Cluster, live: Manifest) -> Iterator[str]:
    """Yield what the state of a workload's pods does not contain: which do not end, and what their probes said last.

    The kubelet keeps messages of probes and volumes in events only (kubernetes, pkg/kubelet/prober/prober.go:
    recordContainerEvent).
    """
    namespace = live["metadata"].get("namespace", "default")
    pods = {one["metadata"]["name"] for one in pods_of(cluster, live, namespace)}
    for reason in ("Unhealthy", NOT_MOUNTED):
        last = _last_events(cluster, namespace, reason)
        yield from (f"pod {pod}: {message}" for pod, message in last.items() if pod in pods)
    selector = pod_selector(live)
    for one in cluster.list("v1", "Pod", namespace, selector=selector) if selector else ():
        if is_leaving(one):
            node = (one.get("spec") or {}).get("nodeName", "")
            yield f"pod {one['metadata']['name']} on {node} {LEAVING}, and has not ended"


def _events(cluster: Cluster, namespace: str) -> Sequence[Manifest]:
    """Return a namespace's events, none for an account that may not list them: they only explain."""
    try:
        return cluster.list("v1", "Event", namespace)
    except ClusterError as refused:
        if refused.status != FORBIDDEN:
            raise
        return ()


def _last_events(cluster: Cluster, namespace: str, reason: str) -> Mapping[str, str]:
    """Return the last message of events with a reason, by the name of the object."""
    found = [one for one in _events(cluster, namespace) if one.get("reason") == reason]
    found.sort(key=lambda one: str(one.get("lastTimestamp") or ""))
    return {str((one.get("involvedObject") or {}).get("name")): str(one.get("message", "")).strip() for one in found}


def troubles(cluster: Cluster, manifests: Iterable[Manifest]) -> Iterator[str]:
    """Yield what is wrong with each workload that exists and is not ready. Raises ClusterError."""
    for manifest in manifests:
        live = _find(cluster, manifest) if manifest["kind"] in WORKLOADS else None
        if live and (trouble := _trouble(cluster, live, math.inf)):
            yield f"{title(manifest)}: {trouble}"


def pending(cluster: Cluster, manifest: Manifest, *, waited: float = 0.0) -> str | None:
    """Return what the workload still waits for, or None when it is ready. Raises ClusterError if it cannot become so.

    What it is made from may be missing for a while, and so may an image; `waited` is how many seconds it has been.
    """
    live = _find(cluster, manifest)
    if live is None:
        return "absent"
    trouble = _trouble(cluster, live, waited)
    if trouble and trouble.outlook is not Outlook.OPEN:
        raise _failure({title(live): trouble})
    return str(trouble) if trouble else None


def _is_unprobed(live: Manifest) -> bool:
    """Tell whether the workload has a container without a readiness probe, which is ready until it ends."""
    return live["kind"] != "Job" and any("readinessProbe" not in one for one in containers(live, ("containers",)))


def _is_explained(trouble: _Trouble) -> bool:
    return trouble.ended or bool(trouble.evidence)


def _is_hopeless(trouble: _Trouble, crashes: int | None, coming: Sequence[str]) -> bool:
    """Tell whether waiting for a workload is useless; `crashes` is their number when nothing was `coming` up."""
    if trouble.outlook is Outlook.POOR:
        return not coming and (not trouble.crashes or trouble.crashes > (crashes or 0))
    return trouble.outlook is Outlook.NONE


def _find(cluster: Cluster, manifest: Manifest) -> dict[str, Any] | None:
    metadata = manifest["metadata"]
    return cluster.get(manifest["apiVersion"], manifest["kind"], metadata["name"], metadata.get("namespace", "default"))


def _failure(troubles: Mapping[str, _Trouble]) -> ClusterError:
    names, one = ", ".join(troubles), next(iter(troubles.values()))
    end = "failed" if all(each.ended for each in troubles.values()) else "cannot start"
    return ClusterError(
        f"{names} {end}" if len(troubles) == 1 else f"{len(troubles)} workloads: {names} {end}",
        details=one.evidence or one.state
        if len(troubles) == 1
        else "\n".join(f"{name}: {one}" for name, one in troubles.items()),
        fix="; ".join(dict.fromkeys(one.fix for one in troubles.values() if one.fix)),
    )


def _trouble(cluster: Cluster, live: Manifest, waited: float) -> _Trouble | None:
    """Return why a workload is not ready, `waited` seconds after it was applied; None when it is."""
    try:
        said, ended = progress(live), False
    except ClusterError as error:
        said, ended = error.details or "failed", True
    if said is None or is_leaving(live):
        return None if said is None else _Trouble(said)
    namespace = live["metadata"].get("namespace", "default")
    crashes = (live.get("status") or {}).get("failed", 0) if live["kind"] == "Job" else 0
    found, fixes = [one.get("message", "") for one in conditions(live, "ReplicaFailure")], []
    if waited > MISSING_PATIENCE and lacks_pods(live):
        found += _refusal(cluster, live, namespace)
    refused = any(not is_unanswered(one) for one in found)  # what a webhook has to allow is tried again
    outlooks = [Outlook.NONE] if ended or (refused and waited > MISSING_PATIENCE) else []
    if crashes >= CRASHES:
        outlooks.append(Outlook.POOR)
    for pod in pods_of(cluster, live, namespace):
        name = pod["metadata"]["name"]
        for message in unschedulable(pod):
            found.append(f"pod {name}: no node takes it: {message}")
            patience = MISSING_LONGEST if "Insufficient" in message else MISSING_PATIENCE
            outlooks.append(Outlook.POOR if UNMET.search(message) and waited > patience else Outlook.OPEN)
        for message, fix in _volumes_lack(cluster, pod, namespace) if waited > MISSING_PATIENCE else ():
            found.append(f"pod {name}: {message}")
            fixes.append(fix)
            outlooks.append(Outlook.POOR)
        for fault in faults(pod):
            if fault.again:
                said = f"{said}; pod {name}, {fault}"
                continue
            outlooks.append(fault.outlook(waited))
            crashes += fault.restarts
            fixes.append(fault.fix)
            words = _last_words(cluster, name, namespace, fault) if fault.has_log else ""
            found.append(f"pod {name}, {fault}" + (f"\n{words}" if words else ""))
    if not found and not ended and waited > UNREADY and (probed := next(_probed(cluster, live), "")):
        said = f"{said}; {probed}"
    return _Trouble(
        said,
        ended=ended,
        outlook=next((one for one in (Outlook.NONE, Outlook.POOR) if one in outlooks), Outlook.OPEN),
        evidence="\n".join(dict.fromkeys(found)),
        crashes=crashes,
        fix=next(filter(None, fixes), ""),
    )


def _refusal(cluster: Cluster, live: Manifest, namespace: str) -> Iterator[str]:
    """Yield why a workload without a condition for it gets no pod, if that is the last thing its controller did."""
    own = {"kind": live["kind"], "name": live["metadata"]["name"]}
    events = [
        one
        for one in _events(cluster, namespace)
        if one.get("reason") in (REFUSED, MADE, REMOVED) and own.items() <= (one.get("involvedObject") or {}).items()
    ]
    last = max(events, key=lambda one: str(one.get("lastTimestamp") or ""), default=None)
    if last and last["reason"] == REFUSED:
        yield str(last.get("message", "")).strip()


def _volumes_lack(cluster: Cluster, pod: Manifest, namespace: str) -> Iterator[tuple[str, str]]:
    """Yield which objects the volumes of a pod that does not start lack, and what to do about each."""
    if (pod.get("status") or {}).get("phase") != "Pending":
        return
    message = _last_events(cluster, namespace, NOT_MOUNTED).get(pod["metadata"]["name"], "")
    if UNMADE.search(message):
        yield message, APPLY_MISSING
    volumes = (pod.get("spec") or {}).get("volumes") or ()
    if claims := [one["persistentVolumeClaim"]["claimName"] for one in volumes if "persistentVolumeClaim" in one]:
        failed = _last_events(cluster, namespace, NOT_PROVISIONED)
        for claim in claims:
            if CLASSLESS.search(message := failed.get(claim, "")):
                yield f"claim {claim}: {message}", CHOOSE_CLASS


def _last_words(cluster: Cluster, pod: str, namespace: str, fault: Fault) -> str:
    text = cluster.log(pod, namespace, container=fault.container, lines=LINES, previous=fault.running)
    return textwrap.indent(text.rstrip(), "    ")


def refresh_pods(cluster: Cluster, namespace: str, mark: str, *, selector: str = "") -> None:
    """Have the kubelet update ConfigMaps and Secrets in pods of a namespace at once; `mark` identifies their content.

    By itself it does so when it next syncs the pod; a changed annotation makes it sync.
    """
    for pod in cluster.list("v1", "Pod", namespace, selector=selector):
        if not is_leaving(pod):
            with suppress(ClusterError):  # deleted meanwhile
                cluster.annotate(pod, {SEEN: mark})
