"""Brings a unit of ours to the control plane, with its account, and takes it away."""

from __future__ import annotations

from datetime import UTC, datetime

from sandbox.components import content_hash
from sandbox.errors import SandboxError
from sandbox.kube import node_unit
from sandbox.kube.api import Cluster, title
from sandbox.kube.namespace import namespace
from sandbox.kube.node_unit import ADMIN, LIFE, RBAC, UNITS, NodeUnit
from sandbox.names import SYSTEM_NAMESPACE
from sandbox.provider import Nodes

ROLES = (
    ("ClusterRoleBinding", None),
    ("RoleBinding", SYSTEM_NAMESPACE),
    ("ClusterRole", None),
    ("Role", SYSTEM_NAMESPACE),
)


def amiss(nodes: Nodes, cluster: Cluster, unit: NodeUnit) -> str | None:
    """What of a unit is not there, is another or does not run."""
    node = nodes.control_plane
    for path, content in unit.files().items():
        if nodes.read_file(node, path) != content:
            return f"{path} on {node}"
    for one in map(content_hash.marked, unit.objects()):
        found = cluster.get(one["apiVersion"], one["kind"], unit.name, one["metadata"].get("namespace"))
        if found is None or content_hash.mark(found) != content_hash.mark(one):
            return f"{title(one)} is {'absent' if found is None else 'another'}"
    if not _has_token(nodes, cluster, unit):
        return f"{unit.kubeconfig} on {node} has no valid token"
    if nodes.execute(node, ["systemctl", "is-active", unit.service])[0] != 0:
        return f"{unit.service} does not run on {node}"
    return None


def place(nodes: Nodes, cluster: Cluster, unit: NodeUnit) -> None:
    """Have the unit run as it is now. Raises SandboxError."""
    node = nodes.control_plane
    cluster.apply(namespace(SYSTEM_NAMESPACE))
    cluster.apply_all(map(content_hash.marked, unit.objects()))
    if not _has_token(nodes, cluster, unit):
        admin = nodes.read_file(node, ADMIN)
        if admin is None:
            raise SandboxError(f"{node} has no {ADMIN}", fix="sandbox up --recreate cluster")
        token = cluster.token(unit.name, SYSTEM_NAMESPACE, seconds=LIFE)
        nodes.write_file(node, unit.kubeconfig, node_unit.kubeconfig(admin, token), 0o600)
    for path, content in unit.files().items():
        nodes.write_file(node, path, content)
    for verb in (("daemon-reload",), ("enable", unit.service), ("restart", unit.service)):
        _systemctl(nodes, *verb)


def remove(nodes: Nodes, cluster: Cluster, unit: NodeUnit) -> None:
    """Have no such unit, and no account for it. Raises SandboxError."""
    node = nodes.control_plane
    if nodes.read_file(node, UNITS / unit.service) is not None:
        _systemctl(nodes, "disable", "--now", unit.service)
        paths = [str(path) for path in (*unit.files(), unit.kubeconfig)]
        status, output = nodes.execute(node, ["rm", "-f", *paths])
        if status != 0:
            raise SandboxError(f"{unit.service} cannot be removed from {node}", details=output)
        _systemctl(nodes, "daemon-reload")
    for kind, space in ROLES:
        cluster.delete(RBAC, kind, unit.name, space)
    cluster.delete("v1", "ServiceAccount", unit.name, SYSTEM_NAMESPACE)


def _has_token(nodes: Nodes, cluster: Cluster, unit: NodeUnit) -> bool:
    account = cluster.get("v1", "ServiceAccount", unit.name, SYSTEM_NAMESPACE)
    found = nodes.read_file(nodes.control_plane, unit.kubeconfig)
    return account is not None and node_unit.holds(found, account["metadata"].get("uid", ""), datetime.now(UTC))


def _systemctl(nodes: Nodes, *words: str) -> None:
    status, output = nodes.execute(nodes.control_plane, ["systemctl", *words])
    if status != 0:
        raise SandboxError(f"systemctl {' '.join(words)} failed on {nodes.control_plane}", details=output)
