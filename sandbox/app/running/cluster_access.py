"""Writes a kubeconfig that reaches one sandbox only, for a new account with limited rights whose token expires."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping
from typing import Any

import yaml

from sandbox.app.running.project_workloads import cluster_of
from sandbox.components.cluster import kubeconfig
from sandbox.components.cluster.existing.tenant import SandboxNamespace
from sandbox.config.schema import ResolvedSpec
from sandbox.errors import UsageError
from sandbox.kube.api import Cluster
from sandbox.kube.manifests import namespace as namespace_object
from sandbox.names import SYSTEM_NAMESPACE, Names

LIFE = 8 * 3600  # seconds that a token is valid
RBAC = "rbac.authorization.k8s.io"


def make(names: Names, spec: ResolvedSpec, *, read_only: bool, namespace: str | None) -> str:
    """Create the account and return the kubeconfig (YAML), which contains a token for `LIFE` seconds.

    The rights are those of Kubernetes' own roles `view`, which may not read Secrets, and `edit`; in `namespace`, or
    in all namespaces. Raises SandboxError, ClusterError if the cluster refuses it.
    """
    cluster = _cluster(names, spec, namespace)
    only = namespace or spec.namespace
    place, role = only or SYSTEM_NAMESPACE, "view" if read_only else "edit"
    account = f"sandbox-{role}-all" if only is None else f"sandbox-{role}"
    for manifest in _account(account, place, role, everywhere=only is None):
        cluster.apply(manifest)
    return _kubeconfig(names, cluster.token(account, place, seconds=LIFE), only)


def _cluster(names: Names, spec: ResolvedSpec, namespace: str | None) -> Cluster:
    cluster, _ = cluster_of(names)
    if spec.namespace is None:
        if namespace and cluster.get("v1", "Namespace", namespace) is None:
            known = ", ".join(each["metadata"]["name"] for each in cluster.list("v1", "Namespace"))
            raise UsageError(
                f"there is no namespace {namespace}", details=f"there are: {known}", fix="name one of them"
            )
        return cluster
    if namespace not in (None, spec.namespace):
        raise UsageError(
            f"'{names.name}' has the namespace {spec.namespace} only", fix=f"leave out --namespace {namespace}"
        )
    return SandboxNamespace(names, spec.namespace).cluster


def _account(name: str, place: str, role: str, *, everywhere: bool) -> Iterator[dict[str, Any]]:
    if everywhere:
        yield namespace_object(SYSTEM_NAMESPACE)
    metadata = {"name": name, "namespace": place}
    yield {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata}
    yield {
        "apiVersion": f"{RBAC}/v1",
        "kind": "ClusterRoleBinding" if everywhere else "RoleBinding",
        "metadata": {"name": name} if everywhere else metadata,
        "roleRef": {"apiGroup": RBAC, "kind": "ClusterRole", "name": role},
        "subjects": [{"kind": "ServiceAccount", "name": name, "namespace": place}],
    }


def _kubeconfig(names: Names, token: str, namespace: str | None) -> str:
    authority = kubeconfig.authority(names.kubeconfig)
    server: Mapping[str, str] = {"server": kubeconfig.server_of(names.kubeconfig)}
    trust = {"certificate-authority-data": base64.b64encode(authority.encode()).decode()} if authority else {}
    name = names.cluster
    context = {"cluster": name, "user": name, **({"namespace": namespace} if namespace else {})}
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": name, "cluster": {**server, **trust}}],
        "users": [{"name": name, "user": {"token": token}}],
        "contexts": [{"name": name, "context": context}],
        "current-context": name,
    }
    return yaml.safe_dump(content, sort_keys=False)
