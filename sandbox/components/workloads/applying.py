"""Applies the user's objects: those that come too early again, immutable ones recreated, or with an explanation.

A sealed record in the cluster keeps what was applied last, so that unwanted objects are removed: as `kubectl apply
--prune` does with an ApplySet (KEP-3659), but by the objects' names and not by a label of theirs.
"""

import hashlib
import json
import re
import textwrap
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from sandbox.kube import deletion
from sandbox.kube.api import Cluster, ClusterError, Manifest, Say, title
from sandbox.kube.apply_attempts import APPLY_TIMEOUT, UNKNOWN, attempt
from sandbox.kube.deletion import is_leaving
from sandbox.kube.manifests import is_builtin
from sandbox.kube.records import ObjectKey, Records, keys_from_json, keys_to_json
from sandbox.kube.workload_status import LEAVING, WORKLOADS, has_failed, progress
from sandbox.system.wait import WaitTimeout, wait_until

# These contain nothing of their own: a Job and a Pod run again, a binding is effective again at once.
RECREATED = ("Job", "Pod", "RoleBinding", "ClusterRoleBinding")
# These contain what no one could apply again, so they are never removed.
KEPT = {"Namespace", "CustomResourceDefinition", "PersistentVolume", "PersistentVolumeClaim"}
# These end, and stay as they ended.
RUN_AGAIN = ("Job", "Pod")
UNPROCESSABLE = 422
# A webhook may be answered by pods that are applied together with its objects, and whose image must be pulled.
PATIENCE = 180.0
UNREADY = (
    "add what they need; for a webhook, `sandbox doctor pod POD` says why its pods do not run, and one that is left "
    "over has to be deleted; then sandbox up"
)
# The API server's words for a change that is not possible (kubernetes, pkg/apis/*/validation).
_FIXED = re.compile(
    r"immutable|may not change|cannot change|updates to .{1,300}forbidden|may not be changed|pod updates", re.DOTALL
)
_NO_NAMESPACE = re.compile(r'namespaces "([a-z0-9-]{1,63})" not found')
# In its words for a right that an account lacks (staging/src/k8s.io/apiserver, endpoints/handlers/responsewriters).
_NO_RIGHT = ' is forbidden: User "'
WRONG = (400, 404, UNPROCESSABLE)
# What the API server says, with status 500, of fields that it does not know, and of wrong types.
UNTYPED = "failed to create typed patch object"
# The API server gives this taint to a new node, and the node controller takes it away.
NOT_READY = "node.kubernetes.io/not-ready"
NODES_PATIENCE = 60.0
MISTAKEN = (
    "correct `kind` and `apiVersion`; versions that were removed: "
    "https://kubernetes.io/docs/reference/using-api/deprecation-guide/"
)
UNDEFINED = (
    "add its CustomResourceDefinition to `apply`, or the addon that brings it; for the Gateway API, in sandbox.yaml: "
    "`ingress: {gateway_api: true}`"
)


def apply_all(
    manifests: Sequence[Manifest],
    attempt_once: Callable[[Manifest], str | None],
    say: Say = lambda _: None,
) -> None:
    """Apply objects in order with `attempt_once`; retry an object after all others if it needs something missing.

    `say` gets each object, and while it waits, what the first object needs. Raises ClusterError, also for a kind that
    does not appear, and WaitTimeout.
    """
    waiting, begun, is_retry = list(manifests), time.monotonic(), False

    def lacking() -> str | None:
        nonlocal waiting, is_retry
        early = []
        for manifest in waiting:
            if not is_retry:
                say(title(manifest))
            if (reason := attempt_once(manifest)) is not None:
                early.append((manifest, reason))
        waiting, is_retry = [manifest for manifest, _ in early], True
        unknown = [manifest for manifest, reason in early if reason.startswith(UNKNOWN)]
        is_wrong = any(is_builtin(manifest["apiVersion"].rpartition("/")[0]) for manifest in unknown)
        if is_wrong or (unknown and time.monotonic() > begun + APPLY_TIMEOUT):
            kinds = dict.fromkeys(f"{manifest['kind']} ({manifest['apiVersion']})" for manifest in unknown)
            raise ClusterError(
                f"the cluster has no kind {', '.join(kinds)}",
                details="\n".join(map(title, unknown)),
                fix=MISTAKEN if is_wrong else UNDEFINED,
            )
        return "\n".join(f"{title(manifest)}: {reason}" for manifest, reason in early) or None

    wait_until(lacking, what="applying the manifests", timeout=PATIENCE, fix=UNREADY, say=say)


def attempt_changed(
    cluster: Cluster,
    manifest: Manifest,
    *,
    ours: Collection[ObjectKey],
    context: str,
    say: Say,
) -> str | None:
    """Apply an object as `attempt` does; recreate one of `ours`, which the sandbox applied, that cannot change.

    So is a Job or a Pod of `ours` that has failed, which else would fail every later `up`. `context` is the kubectl
    context that the fix in an error names. Raises ClusterError.
    """
    is_ours = ObjectKey.of(manifest) in ours
    try:
        if manifest["kind"] in RUN_AGAIN and is_ours:
            live = cluster.live(manifest)
            if live is not None and cluster.owns(live) and has_failed(live):
                say(f"running {title(manifest)} again: it had failed")
                deletion.delete_whole(cluster, [live])
        return attempt(cluster, manifest, say=say)
    except ClusterError as error:
        if error.status != UNPROCESSABLE or not _FIXED.search(error.details):
            error.fix = error.fix or _correction(error, context)
            raise
        if manifest["kind"] not in RECREATED or not is_ours:
            raise _refused(manifest, error, context) from error
    say(f"recreating {title(manifest)}, which cannot be changed")
    live = cluster.live(manifest)
    if live is not None:
        deletion.delete_whole(cluster, [live])
    return attempt(cluster, manifest, say=say)


def await_nodes(cluster: Cluster, names: Collection[str], say: Say) -> None:
    """Wait until pods can be placed on each of several nodes, else all would be placed on the first.

    A node that is lost is not waited for; the cluster's own step tells what keeps a node from joining.
    """

    def joining() -> str | None:
        nodes = {
            node["metadata"]["name"]: node.get("spec", {}).get("taints") or () for node in cluster.list("v1", "Node")
        }
        late = [name for name in names if name not in nodes or any(taint["key"] == NOT_READY for taint in nodes[name])]
        return f"waiting for {', '.join(late)}" if late else None

    if len(names) > 1:
        with suppress(WaitTimeout):
            wait_until(joining, what="the nodes", timeout=NODES_PATIENCE, say=say)


def _correction(error: ClusterError, context: str) -> str:
    if missing := _NO_NAMESPACE.search(error.details):
        name = missing[1]
        return f"add the Namespace {name} to `apply`, or: kubectl --context {context} create namespace {name}"
    if _NO_RIGHT in error.details:
        return "have an administrator of the cluster give you that right; docs/existing.md has the Role to extend"
    is_wrong = error.status in WRONG or UNTYPED in error.details
    return "correct that in its manifest, then sandbox up" if is_wrong else ""


def _refused(manifest: Manifest, error: ClusterError, context: str) -> ClusterError:
    kind, metadata = manifest["kind"].lower(), manifest["metadata"]
    where = f" --namespace={metadata['namespace']}" if metadata.get("namespace") else ""
    command = f"kubectl --context {context} delete {kind} {metadata['name']}{where}"
    if kind == "statefulset":
        command += " --cascade=orphan"  # its pods and their data stay, and belong to the new one
    loses = ", which deletes its data" if kind == "persistentvolumeclaim" else ""
    return ClusterError(
        f"{title(manifest)} exists and cannot be changed this way",
        details=textwrap.shorten(error.details, 400, placeholder="…"),
        fix=f"{command}{loses}, then sandbox up; or change that back",
        status=error.status,
    )


def fault(cluster: Cluster, manifest: Manifest, gone: str) -> str | None:
    """Return why an applied object is not as it should be, or None; `gone` is the text for a missing object.

    Raises ClusterError for a workload that has failed.
    """
    live = cluster.live(manifest)
    if live is None:
        # The cluster deletes it once it has ended (Job, spec.ttlSecondsAfterFinished).
        ends = manifest["kind"] == "Job" and (manifest.get("spec") or {}).get("ttlSecondsAfterFinished") is not None
        return None if ends else f"{title(manifest)} is {gone}"
    if is_leaving(live):
        return f"{title(manifest)} {LEAVING}"
    pending = progress(live) if live["kind"] in WORKLOADS else None
    return f"{title(manifest)}: {pending}" if pending else None


@dataclass(frozen=True)
class Applied:
    """The applied objects, and a digest of their content; no digest while they are being applied."""

    keys: tuple[ObjectKey, ...] = ()
    digest: str = ""

    def dropped(self, keys: Iterable[ObjectKey]) -> tuple[ObjectKey, ...]:
        """Return the objects that are not wanted any more and contain no data."""
        named = frozenset(keys)
        return tuple(key for key in self.keys if key not in named and key.kind not in KEPT)


def digest(manifests: Sequence[Manifest]) -> str:
    return hashlib.sha256(json.dumps(manifests, sort_keys=True, default=str).encode()).hexdigest()


def read(records: Records, name: str) -> Applied | None:
    data = records.read(name)
    return None if data is None else Applied(keys_from_json(data["objects"]), data["sha256"])


def write(records: Records, name: str, keys: Iterable[ObjectKey], digest: str = "") -> None:
    records.write(name, {"sha256": digest, "objects": keys_to_json(keys)})
