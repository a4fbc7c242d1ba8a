"""Finds objects of a kind or API version that no cluster has; for a kind that is still to come, `up` waits."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from sandbox.errors import BadFile
from sandbox.kube import manifests
from sandbox.kube.manifests import Manifest, title

_KINDS = {
    "v1": (
        *("ConfigMap", "Namespace", "Node", "PersistentVolume", "PersistentVolumeClaim", "Pod", "Secret"),
        *("Service", "ServiceAccount"),
    ),
    "apps/v1": ("DaemonSet", "Deployment", "ReplicaSet", "StatefulSet"),
    "batch/v1": ("CronJob", "Job"),
    "discovery.k8s.io/v1": ("EndpointSlice",),
    "networking.k8s.io/v1": ("Ingress", "IngressClass", "NetworkPolicy"),
    "rbac.authorization.k8s.io/v1": ("ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding"),
}
VERSIONS = {kind: version for version, kinds in _KINDS.items() for kind in kinds}
# How much of two names is the same, at most 1. APIService is the one most like another, Service, by 0.82.
ALIKE = 0.85
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
        group, right = version.rpartition("/")[0], VERSIONS.get(kind)
        # Groups of others are names of domains, and not below k8s.io.
        is_own = "." not in group or manifests.is_builtin(group) or group.endswith(".k8s.io")
        fix = ""
        if right is None and manifests.is_builtin(group):
            if near := difflib.get_close_matches(kind, VERSIONS, 1, ALIKE):
                fix = f"write `kind: {near[0]}` and `apiVersion: {VERSIONS[near[0]]}`"
        elif right and version != right and is_own and (group, kind) not in defined:
            fix = f"write `apiVersion: {right}`; if its fields differ: {GUIDE}"
        if fix:
            raise BadFile(f"{title(manifest)}: no cluster has the kind {kind} in {version}", fix=fix)
