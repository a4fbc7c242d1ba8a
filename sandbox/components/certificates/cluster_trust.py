"""How nodes and pods of a cluster learn of the sandbox's root: a file, a ConfigMap, and the unit that keeps it."""

from __future__ import annotations

from pathlib import PurePosixPath

from sandbox.components.node_unit import NodeUnit

CONFIG_MAP = "sandbox-root"
KEY = "ca.crt"
LABEL = "sandbox.dev/trust"

ROOT = PurePosixPath("/etc/sandbox/root.crt")

# The API server ends a watch after a while; the next one begins with all namespaces again.
_SCRIPT = f"""kubectl get namespaces --selector={LABEL}=true --watch --output=name |
while read -r namespace; do
  case "$namespace" in namespace/ | namespace/-* | namespace/*[!a-z0-9-]*) continue ;; esac
  kubectl create configmap {CONFIG_MAP} --namespace="${{namespace#namespace/}}" \\
    --from-file={KEY}={ROOT} --dry-run=client --output=json |
    kubectl apply --server-side --force-conflicts --field-manager=sandbox --filename=-
done
"""

# Creating by a patch is authorized as both.
UNIT = NodeUnit(
    name="sandbox-trust",
    description=f"The ConfigMap {CONFIG_MAP} in every namespace labelled {LABEL}=true",
    script=_SCRIPT,
    data={},
    anywhere=(
        {"apiGroups": [""], "resources": ["namespaces"], "verbs": ["list", "watch"]},
        {"apiGroups": [""], "resources": ["configmaps"], "resourceNames": [CONFIG_MAP], "verbs": ["create", "patch"]},
    ),
)
"""The node does it because nothing else in the cluster both has kubectl and lasts: namespaces come at any time."""
