"""The paths of the kinds that every cluster has: asking for them would take another request for each group."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

_IN_NAMESPACES: Mapping[str, Mapping[str, str]] = {
    "/api/v1": {
        "ConfigMap": "configmaps",
        "PersistentVolumeClaim": "persistentvolumeclaims",
        "Pod": "pods",
        "Secret": "secrets",
        "Service": "services",
        "ServiceAccount": "serviceaccounts",
    },
    "/apis/apps/v1": {
        "DaemonSet": "daemonsets",
        "Deployment": "deployments",
        "ReplicaSet": "replicasets",
        "StatefulSet": "statefulsets",
    },
    "/apis/batch/v1": {"CronJob": "cronjobs", "Job": "jobs"},
    "/apis/discovery.k8s.io/v1": {"EndpointSlice": "endpointslices"},
    "/apis/networking.k8s.io/v1": {"Ingress": "ingresses", "NetworkPolicy": "networkpolicies"},
    "/apis/rbac.authorization.k8s.io/v1": {"Role": "roles", "RoleBinding": "rolebindings"},
}
_IN_NONE: Mapping[str, Mapping[str, str]] = {
    "/api/v1": {"Namespace": "namespaces", "Node": "nodes", "PersistentVolume": "persistentvolumes"},
    "/apis/networking.k8s.io/v1": {"IngressClass": "ingressclasses"},
    "/apis/rbac.authorization.k8s.io/v1": {
        "ClusterRole": "clusterroles",
        "ClusterRoleBinding": "clusterrolebindings",
    },
}
_PLACES = {
    (base, kind): (plural, namespaced)
    for groups, namespaced in ((_IN_NAMESPACES, True), (_IN_NONE, False))
    for base, kinds in groups.items()
    for kind, plural in kinds.items()
}

# How much of two names is the same, at most 1. APIService is the one most like another, Service, by 0.82.
ALIKE = 0.85


def place(base: str, kind: str) -> tuple[str, bool] | None:
    """Return the name in paths of a kind below the path `base`, and whether it is namespaced."""
    return _PLACES.get((base, kind))


@cache
def near(kind: str) -> str | None:
    """Return the kind listed here that is nearly written like this one, which is none of Kubernetes' other kinds."""
    import difflib

    return next(iter(difflib.get_close_matches(kind, [known_kind for _, known_kind in _PLACES], 1, ALIKE)), None)


def version(kind: str) -> str | None:
    """Return the apiVersion of a kind; None for one that is not listed here."""
    base = next((base for base, known_kind in _PLACES if known_kind == kind), None)
    return base and base.removeprefix("/apis/").removeprefix("/api/")
