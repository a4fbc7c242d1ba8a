"""Writes a kubeconfig that reaches one sandbox only, for a new account with limited rights whose token expires."""

import base64

import yaml

from sandbox.app.running.project_workloads import cluster_of
from sandbox.components.cluster import kubeconfig
from sandbox.components.cluster.existing.tenant import SandboxNamespace
from sandbox.config.schema import ResolvedSpec
from sandbox.errors import UsageError
from sandbox.kube.manifests import namespace as namespace_object
from sandbox.names import SYSTEM_NAMESPACE, Names

LIFE = 8 * 3600  # seconds that a token is valid
RBAC = "rbac.authorization.k8s.io"


def make(names: Names, spec: ResolvedSpec, *, read_only: bool, namespace: str | None) -> str:
    """Create the account and return the kubeconfig (YAML), which contains a token for `LIFE` seconds.

    The rights are those of Kubernetes' own roles `view`, which may not read Secrets, and `edit`; in `namespace`, or
    in all namespaces. Raises SandboxError, ClusterError if the cluster refuses it.
    """
    cluster, _ = cluster_of(names)
    if spec.namespace is not None:
        if namespace not in (None, spec.namespace):
            raise UsageError(
                f"'{names.name}' has the namespace {spec.namespace} only", fix=f"leave out --namespace {namespace}"
            )
        cluster = SandboxNamespace(names, spec.namespace).cluster
    elif namespace and cluster.get("v1", "Namespace", namespace) is None:
        raise UsageError(f"there is no namespace {namespace}", fix="create it, or name another")
    only = namespace or spec.namespace
    place, role = only or SYSTEM_NAMESPACE, "view" if read_only else "edit"
    account = f"sandbox-{role}" if only else f"sandbox-{role}-all"
    metadata = {"name": account, "namespace": place}
    if not only:
        cluster.apply(namespace_object(SYSTEM_NAMESPACE))
    cluster.apply({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata})
    cluster.apply(
        {
            "apiVersion": f"{RBAC}/v1",
            "kind": "RoleBinding" if only else "ClusterRoleBinding",
            "metadata": metadata if only else {"name": account},
            "roleRef": {"apiGroup": RBAC, "kind": "ClusterRole", "name": role},
            "subjects": [{"kind": "ServiceAccount", **metadata}],
        }
    )
    authority, name = kubeconfig.authority(names.kubeconfig), names.cluster
    server = {"server": kubeconfig.server_of(names.kubeconfig)}
    if authority:
        server["certificate-authority-data"] = base64.b64encode(authority.encode()).decode()
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": name, "cluster": server}],
        "users": [{"name": name, "user": {"token": cluster.token(account, place, seconds=LIFE)}}],
        "contexts": [
            {"name": name, "context": {"cluster": name, "user": name, **({"namespace": only} if only else {})}}
        ],
        "current-context": name,
    }
    return yaml.safe_dump(content, sort_keys=False)
