"""Waiting for objects: until they can be applied, until workloads are ready, until pods have seen what changed."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from functools import partial
from typing import Any

from sandbox.kube.api import Cluster, ClusterError, Manifest, Say, log, title
from sandbox.kube.deletion import is_leaving
from sandbox.system.wait import wait_until

WORKLOADS = {"Deployment", "DaemonSet", "StatefulSet", "Pod", "Job"}
LEAVING = "is being deleted"
HOPELESS = {"InvalidImageName", "ErrImageNeverPull"}
# Hopeless if it lasts: what is missing may be a Secret that an operator is about to make, or the Services, which a
# kubelet that has only just begun has not read yet (kubernetes, pkg/kubelet/kubelet_pods.go).
MISSING = "CreateContainerConfigError"
PATIENCE = 60.0  # seconds
# What is said of an image that no second try will bring: by registries (OCI distribution-spec, error codes), containerd
# and the resolver. A registry that does not answer may do so later.
UNPULLED = {"ErrImagePull", "ImagePullBackOff"}
NO_IMAGE = re.compile(
    r"not found|no such host|does not exist|manifest unknown|unauthorized|denied|forbidden", re.IGNORECASE
)
PULL_PATIENCE = 20.0  # seconds, in which the kubelet tries at least twice
# What Go programs say when the kernel has no more inotify instances for a user, of which every cluster takes dozens.
EXHAUSTED = "too many open files"
MORE_WATCHES = "sudo sysctl fs.inotify.max_user_instances=1024 (in /etc/sysctl.d to last), or take another cluster down"
# Kubernetes itself tries again after these, and so do we for a while: the cause may be on its way.
TROUBLE = {"ErrImagePull", "ImagePullBackOff", "CrashLoopBackOff", "CreateContainerError", "RunContainerError"}
APPLY_TIMEOUT = 30.0
SEEN = "sandbox.dev/seen"
# An object that comes before its kind, before the pods that answer its webhooks, before its kind has an endpoint.
UNKNOWN = "the cluster knows no"
EARLY = ("failed calling webhook", "conversion webhook for", "the server could not find the requested resource")


def wait_ready(cluster: Cluster, manifests: Iterable[Manifest], *, timeout: float) -> None:
    """Wait until every workload among `manifests` is ready; raises ClusterError with the pods' own words otherwise.

    One that is gone by now, or being deleted, cannot become ready: it is left to the step's check, which misses it.
    """
    waiting = [manifest for manifest in manifests if manifest["kind"] in WORKLOADS]
    begun = time.monotonic()

    def state() -> str | None:
        nonlocal waiting
        waited = time.monotonic() - begun
        found = [(one, live) for one in waiting if (live := _find(cluster, one)) and not is_leaving(live)]
        states = {title(one): _lacks(cluster, live, waited) for one, live in found}
        waiting = [one for one, _ in found if states[title(one)] is not None]
        return "\n".join(f"{name}: {said}" for name, said in states.items() if said) or None

    wait_until(state, what="workloads", timeout=timeout)


def pending(cluster: Cluster, manifest: Manifest, *, waited: float = 0.0) -> str | None:
    """Return what the workload still waits for, or None when it is ready. Raises ClusterError when it cannot become so.

    What it is made from may be missing for a while, and so may an image; `waited` says for how long it was, in seconds.
    """
    live = _find(cluster, manifest)
    return "absent" if live is None else _lacks(cluster, live, waited)


def _find(cluster: Cluster, manifest: Manifest) -> dict[str, Any] | None:
    metadata = manifest["metadata"]
    return cluster.get(manifest["apiVersion"], manifest["kind"], metadata["name"], metadata.get("namespace", "default"))


def _lacks(cluster: Cluster, live: Manifest, waited: float) -> str | None:
    said = progress(live)
    if said is None or is_leaving(live):
        return said
    namespace = live["metadata"].get("namespace", "default")
    for pod in _pods(cluster, live, namespace):
        for container, reason, message in troubles(pod):
            evidence = f"pod {pod['metadata']['name']}, container {container}: {reason}: {message}".rstrip(": ")
            absent = reason in UNPULLED and waited > PULL_PATIENCE and NO_IMAGE.search(message)
            if absent or reason in HOPELESS or (reason == MISSING and waited > PATIENCE):
                raise ClusterError(f"{title(live)} cannot start", details=evidence)
            if reason == "CrashLoopBackOff":
                evidence += "\n" + cluster.log(pod["metadata"]["name"], namespace)
            if EXHAUSTED in evidence:
                raise ClusterError(f"{title(live)} cannot start", details=evidence, fix=MORE_WATCHES)
            said += "; " + evidence
    return said


def progress(live: Mapping[str, Any]) -> str | None:
    """Return what the status of a workload lacks to be ready, or None."""
    if is_leaving(live):
        return LEAVING
    status = live.get("status") or {}
    spec = live.get("spec") or {}
    if live["kind"] == "Pod":
        conditions = {one["type"]: one["status"] for one in status.get("conditions") or ()}
        if status.get("phase") == "Failed":
            raise ClusterError(f"{title(live)} failed", details=str(status.get("message", "")))
        done = status.get("phase") == "Succeeded" or conditions.get("Ready") == "True"
        return None if done else str(status.get("phase", "not scheduled"))
    if live["kind"] == "Job":
        if any(one["type"] == "Failed" and one["status"] == "True" for one in status.get("conditions") or ()):
            raise ClusterError(f"{title(live)} failed")
        return None if status.get("succeeded", 0) >= spec.get("completions", 1) else "running"
    if status.get("observedGeneration", 0) < live["metadata"].get("generation", 1):
        return "not yet seen by its controller"
    if live["kind"] == "DaemonSet":
        wanted, ready, updated = (
            status.get(key, 0) for key in ("desiredNumberScheduled", "numberReady", "updatedNumberScheduled")
        )
        wanted = max(wanted, 1)
    else:
        wanted = spec.get("replicas", 1)
        ready, updated = status.get("readyReplicas", 0), status.get("updatedReplicas", 0)
    # What is ready may yet be what is being replaced.
    if status.get("replicas", 0) > updated:
        return f"{status['replicas'] - updated} of the pods before are still there"
    return None if min(ready, updated) >= wanted else f"{min(ready, updated)} of {wanted} pods ready"


def troubles(pod: Mapping[str, Any]) -> Iterable[tuple[str, str, str]]:
    """(container, reason, message) for each container of a pod that is held up by an error."""
    status = pod.get("status") or {}
    for one in [*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())]:
        waiting = (one.get("state") or {}).get("waiting") or {}
        if waiting.get("reason") in HOPELESS | TROUBLE | {MISSING}:
            yield one["name"], waiting["reason"], waiting.get("message", "")


def _pods(cluster: Cluster, live: Manifest, namespace: str) -> list[Manifest]:
    if live["kind"] == "Pod":
        return [live]
    labels = ((live.get("spec") or {}).get("selector") or {}).get("matchLabels") or {}
    selector = ",".join(f"{key}={value}" for key, value in labels.items())
    return list(cluster.list("v1", "Pod", namespace, selector=selector)) if selector else []


def apply_patiently(cluster: Cluster, manifest: Manifest, *, say: Say = log.info) -> None:
    """Apply, as often as it takes until what the object depends on is there. Raises ClusterError, WaitTimeout."""
    wait_until(partial(attempt, cluster, manifest, say=say), what=title(manifest), timeout=APPLY_TIMEOUT)


def attempt(cluster: Cluster, manifest: Manifest, *, say: Say = log.info) -> str | None:
    """Apply; a namespace gets its service account, a kind its endpoint and a webhook its Service only after a moment.

    Returns None when it is done, what it still lacks otherwise; raises ClusterError for everything else.
    """
    try:
        cluster.apply(manifest, say=say)
    except ClusterError as error:
        account = error.status == 403 and "serviceaccount" in error.details
        if not (account or UNKNOWN in str(error) or any(words in error.details for words in EARLY)):
            raise
        return error.details or error.brief
    return None


def refresh_pods(cluster: Cluster, namespace: str, mark: str, *, selector: str = "") -> None:
    """Let the kubelet bring changed ConfigMaps and Secrets to pods of a namespace; `mark` stands for their content.

    By itself it does when it next looks at the pod; a changed annotation makes it look.
    """
    for pod in cluster.list("v1", "Pod", namespace, selector=selector):
        if not is_leaving(pod):
            with suppress(ClusterError):  # gone meanwhile
                cluster.annotate(pod, {SEEN: mark})
