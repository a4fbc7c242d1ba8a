"""Takes out of a cluster that stays what `up` put into it: our namespace, what is cluster-wide, and files on nodes.

Objects of the user's own manifests stay, for they may hold data, and CoreDNS keeps its nameservers.
"""

from __future__ import annotations

from sandbox.components.cluster import pod_proxy
from sandbox.components.cluster.containerd_hosts import FOLDER, MARK
from sandbox.kube.api import Cluster
from sandbox.names import SYSTEM_NAMESPACE
from sandbox.provider import Nodes

RBAC = "rbac.authorization.k8s.io/v1"
OURS = (
    (RBAC, "ClusterRoleBinding", "sandbox-traefik", None),
    (RBAC, "ClusterRole", "sandbox-traefik", None),
    *(
        (RBAC, kind, name, None)
        for name in ("sandbox-trust", "sandbox-credentials")
        for kind in ("ClusterRoleBinding", "ClusterRole")
    ),
    ("v1", "ConfigMap", "local-registry-hosting", "kube-public"),
    ("v1", "Namespace", SYSTEM_NAMESPACE, None),
)
INGRESS_CLASS = ("networking.k8s.io/v1", "IngressClass", "nginx")
# What minikube's ingress addon was told of our edge.
INGRESS_SETTINGS = ("v1", "ConfigMap", "ingress-nginx-controller", "ingress-nginx")
# What tells an object of ours from one of that name that somebody else made.
APPLIED = "sandbox.dev/applied"

_SCRIPT = f"""
cd /etc/systemd/system
for unit in sandbox-*.service; do
  [ -e "$unit" ] || continue
  systemctl disable --now "$unit"
  rm -f "$unit"
done
rm -rf /etc/sandbox {pod_proxy.DROP_IN}
systemctl daemon-reload
grep -rlF '{MARK.decode().strip()}' {FOLDER} | while read -r file; do rm -r "$(dirname "$file")"; done
"""


def vacate(cluster: Cluster, nodes: Nodes) -> None:
    """Leave the cluster. Raises SandboxError when it or a node cannot be reached."""
    found = cluster.get(*INGRESS_CLASS)
    if found and APPLIED in (found["metadata"].get("annotations") or {}):
        cluster.delete(*INGRESS_CLASS)
    if cluster.get(*INGRESS_SETTINGS):
        api_version, kind, called, space = INGRESS_SETTINGS
        # What one no longer applies goes (KEP-555); what others said stays.
        cluster.apply({"apiVersion": api_version, "kind": kind, "metadata": {"name": called, "namespace": space}})
    for api_version, kind, name, namespace in OURS:
        cluster.delete(api_version, kind, name, namespace)
    for node in nodes.running():
        nodes.execute(node, ["sh", "-c", _SCRIPT])
