"""What an existing cluster lets us do in the sandbox's namespace, and what is not to be had without it."""

from __future__ import annotations

import tempfile
import threading
from functools import lru_cache, partial
from pathlib import Path

from sandbox.components.cluster import kubeconfig
from sandbox.doctor.check import Check, Finding, Status, error, ok, warn
from sandbox.doctor.doctor_context import DoctorContext
from sandbox.kube.api import Cluster
from sandbox.system import files

CHANGE = ("get", "list", "create", "patch", "delete")
# Group, resource and verbs, as docs/existing.md has them in a Role.
Rights = tuple[tuple[str, str, tuple[str, ...]], ...]
RBAC = "rbac.authorization.k8s.io"
OBJECTS: Rights = (("", "configmaps", CHANGE), ("", "secrets", CHANGE))
REGISTRY: Rights = (("apps", "deployments", CHANGE), ("", "services", CHANGE), ("", "pods", CHANGE))
DISK: Rights = (("", "persistentvolumeclaims", CHANGE),)
TUNNEL: Rights = (("", "pods", ("get", "list")), ("", "pods/portforward", ("create",)))
INGRESS: Rights = (
    ("", "serviceaccounts", CHANGE),
    (RBAC, "roles", CHANGE),
    (RBAC, "rolebindings", CHANGE),
    ("", "services", ("watch",)),
    ("", "secrets", ("watch",)),
    ("discovery.k8s.io", "endpointslices", ("get", "list", "watch")),
    ("networking.k8s.io", "ingresses", (*CHANGE, "watch")),
    ("networking.k8s.io", "ingresses/status", ("update",)),
)
ROLE = "have the Role of docs/existing.md given to you in that namespace"
_connecting = threading.Lock()


def reached(context: DoctorContext) -> Finding:
    """Whether the context leads to a cluster that answers."""
    _cluster(context).groups()
    return ok(f"{context.spec.cluster.context} answers")


def namespace(context: DoctorContext) -> Finding:
    """Whether the namespace is there, or may be made."""
    cluster, name = _cluster(context), str(context.spec.namespace)
    if not any(cluster.may("get", "", "namespaces", place, name) for place in (None, name)):
        return ok(f"{name} may not be looked at; `up` finds out")
    if cluster.get("v1", "Namespace", name):
        return ok(f"{name} is there")
    if cluster.may("create", "", "namespaces", None):
        return ok(f"{name} is not there and can be made")
    return error(f"{name} is not there, and you may not make it")


def _needs(rights: Rights, context: DoctorContext) -> Finding:
    cluster, namespace = _cluster(context), str(context.spec.namespace)
    rules = cluster.rules(namespace)
    refused: dict[str, list[str]] = {}
    for group, resource, verbs in rights:
        for verb in verbs:
            # Not every authorizer can list what it allows (Node, webhooks), so the rest is asked for one by one.
            if not rules.allow(verb, group, resource) and not cluster.may(verb, group, resource, namespace):
                refused.setdefault(resource, []).append(verb)
    if not refused:
        return ok(", ".join(dict.fromkeys(resource for _, resource, _ in rights)))
    lacks = "; ".join(f"{resource}: {', '.join(verbs)}" for resource, verbs in refused.items())
    return error(f"you may not: {lacks}")


def _disk(context: DoctorContext) -> Finding:
    found = _needs(DISK, context)
    return (
        warn(f"{found.evidence}; the registry's data would go with its pod") if found.status is Status.ERROR else found
    )


def _cluster(context: DoctorContext) -> Cluster:
    """The existing cluster by the user's own kubeconfig, since there may be no sandbox yet.

    All checks share one connection: where a program logs in, it takes a second or two of the three that there are.
    """
    spec, home = context.spec, context.home
    paths = (home.kubeconfig, *home.other_kubeconfigs)
    content = kubeconfig.single_context(paths, str(spec.cluster.context), str(spec.namespace))
    with _connecting:
        return _connected(content)


@lru_cache(maxsize=1)
def _connected(content: bytes) -> Cluster:
    with tempfile.TemporaryDirectory(prefix="sandbox-doctor-") as folder:
        path = Path(folder) / "kubeconfig"
        files.write_atomic(path, content, mode=0o600)
        return Cluster(path)


CHECKS = (
    Check(
        "rights.cluster",
        "the context of an existing cluster leads to one",
        "see `kubectl config get-contexts`",
        reached,
    ),
    Check(
        "rights.namespace",
        "its namespace is there or can be made",
        "name another in `cluster`, or have it made",
        namespace,
    ),
    Check("rights.objects", "what every part needs: ConfigMaps and Secrets", ROLE, partial(_needs, OBJECTS)),
    Check(
        "rights.registry",
        "the registry in the namespace",
        f"{ROLE}, or use `registry.external`",
        partial(_needs, REGISTRY),
    ),
    Check("rights.disk", "a disk for the registry", ROLE, _disk),
    Check("rights.tunnel", "the ways to ingress and registry", ROLE, partial(_needs, TUNNEL)),
    Check(
        "rights.ingress",
        "Traefik in the namespace",
        f"{ROLE}, or set ingress.controller to none",
        partial(_needs, INGRESS),
    ),
)
