"""Checks of the rights in the namespace of an existing cluster, and what does not work without them."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from functools import lru_cache, partial
from pathlib import Path

from sandbox.components.cluster import kubeconfig
from sandbox.doctor.check import Check, Finding, Status, error, ok, skipped, warn
from sandbox.doctor.doctor_context import DoctorContext
from sandbox.kube.api import Cluster, ServerAway
from sandbox.system import files

CHANGE = ("get", "list", "create", "patch", "delete")
# Group, resource and verbs, as in the Role of docs/existing.md.
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
    ("", "configmaps", ("watch",)),
    ("discovery.k8s.io", "endpointslices", ("get", "list", "watch")),
    ("networking.k8s.io", "ingresses", (*CHANGE, "watch")),
    ("networking.k8s.io", "ingresses/status", ("update",)),
)
ROLE = "ask for the Role of docs/existing.md in that namespace"
_connecting = threading.Lock()


def reached(context: DoctorContext) -> Finding:
    _cluster(context).groups()
    return ok(f"{context.spec.cluster.context} answers")


def namespace(context: DoctorContext) -> Finding:
    cluster, name = _cluster(context), str(context.spec.namespace)
    if not any(cluster.may("get", "", "namespaces", place, name) for place in (None, name)):
        return ok(f"you may not read {name}; `up` finds out whether it exists")
    if cluster.get("v1", "Namespace", name):
        return ok(f"{name} exists")
    if cluster.may("create", "", "namespaces", None):
        return ok(f"{name} does not exist, and you may create it")
    return error(f"{name} does not exist, and you may not create it")


def _needs(rights: Rights, context: DoctorContext) -> Finding:
    cluster, namespace = _cluster(context), str(context.spec.namespace)
    refused: dict[str, list[str]] = {}
    for group, resource, verbs in rights:
        for verb in verbs:
            if not cluster.may(verb, group, resource, namespace):
                refused.setdefault(resource, []).append(verb)
    if not refused:
        return ok(", ".join(dict.fromkeys(resource for _, resource, _ in rights)))
    lacks = "; ".join(f"{resource}: {', '.join(verbs)}" for resource, verbs in refused.items())
    return error(f"you may not: {lacks}")


def _disk(context: DoctorContext) -> Finding:
    found = _needs(DISK, context)
    return (
        warn(f"{found.evidence}; the registry's data is lost with its pod") if found.status is Status.ERROR else found
    )


def _asked(inspect: Callable[[DoctorContext], Finding], context: DoctorContext) -> Finding:
    try:
        return inspect(context)
    except ServerAway:
        return skipped("the cluster does not answer")


def _needing(rights: Rights) -> Callable[[DoctorContext], Finding]:
    return partial(_asked, partial(_needs, rights))


def _cluster(context: DoctorContext) -> Cluster:
    """Return the existing cluster by the user's own kubeconfig, since there may be no sandbox yet.

    All checks share one connection: a login by a program takes a second or two of the three that all may take.
    """
    spec, home = context.spec, context.home
    paths = (home.kubeconfig, *home.other_kubeconfigs)
    content = kubeconfig.single_context(paths, str(spec.cluster.context), str(spec.namespace))
    with _connecting:
        return _connected(content, home.state)


@lru_cache(maxsize=1)
def _connected(content: bytes, folder: Path) -> Cluster:
    # A program that logs in runs in the kubeconfig's folder, also when the login is renewed: it has to stay.
    files.make_private_dir(folder)
    path = folder / f"doctor-{os.getpid()}.kubeconfig"
    files.write_atomic(path, content, mode=0o600)
    try:
        return Cluster(path)
    finally:
        path.unlink()


CHECKS = (
    Check(
        "rights.cluster",
        "the cluster of the context answers",
        "see `kubectl config get-contexts`",
        reached,
    ),
    Check(
        "rights.namespace",
        "its namespace exists or can be created",
        "set another in `cluster`, or ask for it",
        partial(_asked, namespace),
    ),
    Check("rights.objects", "rights that every component needs: ConfigMaps and Secrets", ROLE, _needing(OBJECTS)),
    Check(
        "rights.registry",
        "rights for the registry in the namespace",
        f"{ROLE}, or use `registry.external`",
        _needing(REGISTRY),
    ),
    Check("rights.disk", "rights for the registry's disk", ROLE, partial(_asked, _disk)),
    Check("rights.tunnel", "rights for port-forwards to ingress and registry", ROLE, _needing(TUNNEL)),
    Check(
        "rights.ingress",
        "rights for Traefik in the namespace",
        f"{ROLE}, or set ingress.controller to none",
        _needing(INGRESS),
    ),
)
