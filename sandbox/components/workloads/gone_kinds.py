"""Finds objects of a kind or API version that no cluster has; for a kind that is still to come, `up` waits."""

from __future__ import annotations

from collections.abc import Iterable

from sandbox.errors import BadFile
from sandbox.kube import built_in, manifests
from sandbox.kube.manifests import Manifest, title

GUIDE = "https://kubernetes.io/docs/reference/using-api/deprecation-guide/"
# Since this release each of the kinds has one version, by that guide.
SINCE = (1, 25)


def require(objects: Iterable[Manifest], kubernetes: str | None) -> None:
    """Raise BadFile for a mistyped built-in kind, and for one in another group, or a version that was removed.

    `kubernetes` is the cluster's version, None for the default one.
    """
    if kubernetes and tuple(map(int, kubernetes.removeprefix("v").split(".")[:2])) < SINCE:
        return
    every = list(objects)
    defined = set(map(manifests.defined, every))
    for manifest in every:
        version, kind = manifest["apiVersion"], manifest["kind"]
        group, right = version.rpartition("/")[0], built_in.version(kind)
        if right is None and manifests.is_builtin(group) and (meant := built_in.near(kind)):
            raise BadFile(
                f"{title(manifest)}: no cluster has the kind {kind} in {version}",
                fix=f"write `kind: {meant}` and `apiVersion: {built_in.version(meant)}`",
            )
        if right and version != right and _is_kubernetes(group) and (group, kind) not in defined:
            raise BadFile(
                f"{title(manifest)}: no cluster has the kind {kind} in {version}",
                fix=f"write `apiVersion: {right}`; if its fields differ: {GUIDE}",
            )


def _is_kubernetes(group: str) -> bool:
    """Return whether a group is Kubernetes' own: those of others are names of domains, and not below k8s.io."""
    return "." not in group or manifests.is_builtin(group) or group.endswith(".k8s.io")
