"""The check of the rights in the namespace of an existing cluster, and what does not work without them."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor

from sandbox.components.cluster import kubeconfig
from sandbox.doctor.check import WIDTH, Check, DoctorContext, Finding, error, ok, warn
from sandbox.kube.api import Cluster
from sandbox.system import files

CHANGE = ("get", "list", "create", "patch", "delete")
RBAC = "rbac.authorization.k8s.io"
DISK = "the registry's disk, whose data is lost with its pod"
# Group, resource and verbs by what needs them, as in the Role of docs/existing.md.
NEEDS: dict[str, tuple[tuple[str, str, tuple[str, ...]], ...]] = {
    "every component": (("", "configmaps", CHANGE), ("", "secrets", CHANGE)),
    "the registry": (("apps", "deployments", CHANGE), ("", "services", CHANGE), ("", "pods", CHANGE)),
    DISK: (("", "persistentvolumeclaims", CHANGE),),
    "port-forwards": (("", "pods", ("get", "list")), ("", "pods/portforward", ("create",))),
    "the ingress": (
        ("", "serviceaccounts", CHANGE),
        (RBAC, "roles", CHANGE),
        (RBAC, "rolebindings", CHANGE),
        ("", "services", ("watch",)),
        ("", "secrets", ("watch",)),
        ("", "configmaps", ("watch",)),
        ("discovery.k8s.io", "endpointslices", ("get", "list", "watch")),
        ("networking.k8s.io", "ingresses", (*CHANGE, "watch")),
        ("networking.k8s.io", "ingresses/status", ("update",)),
    ),
}


def rights(context: DoctorContext) -> Finding:
    home, name = context.home, str(context.spec.namespace)
    # There may be no sandbox yet: the user's own kubeconfig.
    paths = (home.kubeconfig, *home.other_kubeconfigs)
    content = kubeconfig.single_context(paths, str(context.spec.cluster.context), name)
    # A program that logs in runs in the kubeconfig's folder, also when the login is renewed: it has to stay.
    files.make_private_dir(home.state)
    path = home.state / f"doctor-{os.getpid()}.kubeconfig"
    files.write_atomic(path, content, mode=0o600)
    try:
        cluster = Cluster(path)
    finally:
        path.unlink()
    readable = any(cluster.may("get", "", "namespaces", place, name) for place in (None, name))
    if readable and not cluster.get("v1", "Namespace", name):
        if cluster.may("create", "", "namespaces", None):
            return ok(f"{name} does not exist, and you may create it")
        return error(f"{name} does not exist, and you may not create it", "name another namespace, or ask for it")
    questions = [
        (part, group, resource, verb)
        for part, needs in NEEDS.items()
        for group, resource, verbs in needs
        for verb in verbs
    ]
    with ThreadPoolExecutor(WIDTH) as pool:
        allowed = pool.map(lambda question: cluster.may(question[3], question[1], question[2], name), questions)
    missing: dict[str, list[str]] = {}
    for (part, _, resource, verb), may in zip(questions, allowed, strict=True):
        if not may:
            missing.setdefault(part, []).append(f"{verb} {resource}")
    if not missing:
        return ok(f"you have the rights in {name}")
    lacks = "; ".join(f"for {part}: {', '.join(rights)}" for part, rights in missing.items())
    return (warn if missing.keys() == {DISK} else error)(f"in {name} you may not, {lacks}")


RIGHTS = Check(
    "rights.namespace",
    "you have the rights that a sandbox needs in the namespace",
    "ask for the Role of docs/existing.md; or do without the part: `registry.external`, ingress.controller: none",
    rights,
)
