"""What an existing cluster lets us do in the sandbox's namespace, and what is not to be had without it."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from sandbox.cluster import contexts
from sandbox.cluster.api import Cluster
from sandbox.doctor.check import Check
from sandbox.doctor.row import Finding, Status, error, ok, warn
from sandbox.doctor.scene import Scene
from sandbox.host import files

WIDTH = 8
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


def reached(scene: Scene) -> Finding:
    """Whether the context leads to a cluster that answers."""
    with _cluster(scene) as cluster:
        cluster.groups()
    return ok(f"{scene.spec.cluster.context} answers")


def namespace(scene: Scene) -> Finding:
    """Whether the namespace is there, or may be made."""
    with _cluster(scene) as cluster:
        name = str(scene.spec.namespace)
        if not cluster.may("get", "", "namespaces", None, name) and not cluster.may(
            "get", "", "namespaces", name, name
        ):
            return ok(f"{name} may not be looked at; `up` finds out")
        if cluster.get("v1", "Namespace", name):
            return ok(f"{name} is there")
        if cluster.may("create", "", "namespaces", None):
            return ok(f"{name} is not there and can be made")
    return error(f"{name} is not there, and you may not make it")


def _needs(rights: Rights, scene: Scene) -> Finding:
    with _cluster(scene) as cluster:
        asked = [(verb, group, resource) for group, resource, verbs in rights for verb in verbs]
        with ThreadPoolExecutor(WIDTH) as pool:
            allowed = list(pool.map(lambda one: cluster.may(one[0], one[1], one[2], scene.spec.namespace), asked))
    refused: dict[str, list[str]] = {}
    for (verb, _, resource), may in zip(asked, allowed, strict=True):
        if not may:
            refused.setdefault(resource, []).append(verb)
    if not refused:
        return ok(", ".join(dict.fromkeys(resource for _, resource, _ in rights)))
    lacks = "; ".join(f"{resource}: {', '.join(verbs)}" for resource, verbs in refused.items())
    return error(f"you may not: {lacks}")


def _disk(scene: Scene) -> Finding:
    found = _needs(DISK, scene)
    return (
        warn(f"{found.evidence}; the registry's data would go with its pod") if found.status is Status.ERROR else found
    )


@contextmanager
def _cluster(scene: Scene) -> Iterator[Cluster]:
    """The existing cluster by the user's own kubeconfig, since there may be no sandbox yet."""
    spec, home = scene.spec, scene.home
    paths = (home.kubeconfig, *home.other_kubeconfigs)
    content = contexts.alone(paths, str(spec.cluster.context), str(spec.namespace))
    with tempfile.TemporaryDirectory(prefix="sandbox-doctor-") as folder:
        path = Path(folder) / "kubeconfig"
        files.write_atomic(path, content, mode=0o600)
        yield Cluster(path)


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
