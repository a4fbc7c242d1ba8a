"""The check of the rights in the namespace of an existing cluster."""

import os
from concurrent.futures import ThreadPoolExecutor

from sandbox.components.cluster import kubeconfig
from sandbox.doctor.check import WIDTH, Check, DoctorContext, Finding, error, ok
from sandbox.kube.api import Cluster
from sandbox.system import files

CHANGE = ("get", "list", "create", "patch", "delete")
# Group and resource of what a sandbox makes there, as in the Role of docs/existing.md.
NEEDS = (
    ("", "configmaps"),
    ("", "secrets"),
    ("", "services"),
    ("", "serviceaccounts"),
    ("", "pods"),
    ("apps", "deployments"),
    ("networking.k8s.io", "ingresses"),
    ("rbac.authorization.k8s.io", "roles"),
    ("rbac.authorization.k8s.io", "rolebindings"),
)
QUESTIONS = (
    *((group, name, verb) for group, name in NEEDS for verb in CHANGE),
    ("", "pods/portforward", "create"),
    ("networking.k8s.io", "ingresses", "watch"),
    ("discovery.k8s.io", "endpointslices", "watch"),
)


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
    with ThreadPoolExecutor(WIDTH) as pool:
        allowed = pool.map(lambda question: cluster.may(question[2], question[0], question[1], name), QUESTIONS)
    missing = [f"{verb} {resource}" for (_, resource, verb), may in zip(QUESTIONS, allowed, strict=True) if not may]
    return error(f"in {name} you may not: {', '.join(missing)}") if missing else ok(f"you have the rights in {name}")


RIGHTS = Check(
    "rights.namespace",
    "you have the rights that a sandbox needs in the namespace",
    "ask for the Role of docs/existing.md; without some: `registry.external`, `ingress.controller: none`",
    rights,
)
