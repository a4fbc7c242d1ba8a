"""Objects with an annotation of the digest of their text, so that one read tells whether they are as wanted."""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

from sandbox.kube.api import Cluster, Manifest, title
from sandbox.kube.deletion import is_leaving
from sandbox.kube.workload_status import LEAVING, WORKLOADS, progress
from sandbox.step import State, Status

MARK = "sandbox.dev/applied"


def marked(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """Return the object with the digest of its text as an annotation."""
    metadata = manifest["metadata"]
    annotations = {**(metadata.get("annotations") or {}), MARK: digest(manifest)}
    return {**manifest, "metadata": {**metadata, "annotations": annotations}}


def mark(manifest: Mapping[str, Any]) -> str:
    """Return the digest in an object's annotation; empty if there is none."""
    return str((manifest["metadata"].get("annotations") or {}).get(MARK, ""))


def digest(content: object) -> str:
    """Return a digest of anything whose `repr` is the same whenever it is the same."""
    return hashlib.sha256(repr(content).encode()).hexdigest()[:16]


def problem(cluster: Cluster, manifests: Sequence[Manifest]) -> Status | None:
    """Return what differs in the cluster from these objects, made by `marked`, or None; workloads must be ready.

    They are compared from the last to the first: without the workload, which comes last, all counts as absent, and
    without another object as drifted.
    """
    for manifest in reversed(manifests):
        live, is_workload = cluster.live(manifest), manifest["kind"] in WORKLOADS
        if live is None:
            return Status(State.ABSENT if is_workload else State.DRIFTED, f"{title(manifest)} is not there")
        if is_leaving(live):
            return Status(State.DRIFTED, f"{title(manifest)} {LEAVING}")
        if mark(live) != mark(manifest):
            return Status(State.DRIFTED, f"{title(manifest)} differs")
        if is_workload and (pending := progress(live)):
            return Status(State.DRIFTED, f"{title(manifest)}: {pending}")
    return None
