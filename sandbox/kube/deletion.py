"""Objects that are being deleted: they still exist but will not stay, so callers can only wait for their end.

The API server keeps an object with a deletionTimestamp until its finalizers are gone, and accepts changes to it, which
are lost with it (https://kubernetes.io/docs/concepts/overview/working-with-objects/finalizers/).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from sandbox.errors import SandboxError
from sandbox.kube.manifests import Manifest, title
from sandbox.system.wait import WaitTimeout, wait_until

if TYPE_CHECKING:
    from sandbox.kube.api import Cluster

TIMEOUT = 120.0
# Finalizers of Kubernetes itself, which users should not remove.
KNOWN = {
    "foregroundDeletion",
    "kubernetes.io/pvc-protection",
    "kubernetes.io/pv-protection",
    "customresourcecleanup.apiextensions.k8s.io",
}


class BeingDeleted(SandboxError):
    id = "being-deleted"


def is_leaving(live: Manifest) -> bool:
    return bool((live.get("metadata") or {}).get("deletionTimestamp"))


def is_held(live: Manifest) -> bool:
    """Return whether the object is being deleted, and a finalizer that is not Kubernetes' own keeps it."""
    return is_leaving(live) and bool(set(live["metadata"].get("finalizers") or ()) - KNOWN)


def delete_whole(cluster: Cluster, going: Sequence[Manifest], *, wait: bool = True) -> None:
    """Delete objects with all that they made, and `wait` for their end. Raises ClusterError, BeingDeleted."""
    for live in going:
        metadata = live["metadata"]
        cluster.delete(live["apiVersion"], live["kind"], metadata["name"], metadata.get("namespace"), whole=True)
    if wait:
        await_end(cluster, going)


def await_end(cluster: Cluster, going: Sequence[Manifest]) -> None:
    """Return when all of these objects are gone, or replaced by others. Raises BeingDeleted with what holds them."""

    def left() -> list[Manifest]:
        pairs = ((before, cluster.live(before)) for before in going)
        return [live for before, live in pairs if live and live["metadata"].get("uid") == before["metadata"].get("uid")]

    try:
        wait_until(lambda: ", ".join(map(title, left())) or None, what="objects to be deleted", timeout=TIMEOUT)
    except WaitTimeout as error:
        remaining = left()
        if not remaining:
            return
        evidence = (f"{title(live)}: {line}" for live in remaining for line in _holders(live))
        raise BeingDeleted(
            f"{', '.join(map(title, remaining))} is being deleted and still there after {TIMEOUT:.0f} s",
            details="\n".join(evidence),
            fix=_fix(remaining),
        ) from error


def in_the_way(cluster: Cluster, manifest: Manifest) -> Manifest | None:
    """Return what is being deleted and so refuses the manifest: its namespace or the object itself."""
    namespace = manifest["metadata"].get("namespace")
    around = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}
    for candidate in (*((around,) if namespace else ()), manifest):
        live = None
        with suppress(SandboxError):  # a user may have rights to an object and not to its namespace
            live = cluster.live(candidate)
        if live and is_leaving(live):
            return live
    return None


def _holders(live: Manifest) -> Iterator[str]:
    yield from (f"finalizer {finalizer}" for finalizer in live["metadata"].get("finalizers") or ())
    for condition in (live.get("status") or {}).get("conditions") or ():
        if live["kind"] == "Namespace" and condition["status"] == "True":
            yield str(condition.get("message", condition["type"]))


def _fix(remaining: Sequence[Manifest]) -> str:
    live = next(filter(is_held, remaining), None)
    if live is None:
        return "sandbox up again once it is gone"
    namespace = f" --namespace={live['metadata']['namespace']}" if live["metadata"].get("namespace") else ""
    return (
        "start the controller that the finalizer belongs to, or remove the finalizer: kubectl edit "
        f"{live['kind'].lower()} {live['metadata']['name']}{namespace}, then sandbox up"
    )
