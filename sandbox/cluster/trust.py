"""How nodes and pods of a cluster learn of the sandbox's root: a file, a ConfigMap, and the unit that keeps it."""

from __future__ import annotations

from pathlib import PurePosixPath

from sandbox.cluster.node_unit import unit

CONFIG_MAP = "sandbox-root"
KEY = "ca.crt"
LABEL = "sandbox.dev/trust"

ROOT = PurePosixPath("/etc/sandbox/root.crt")
UNIT = "sandbox-trust.service"

_UNIT = unit(f"The ConfigMap {CONFIG_MAP} in every namespace labelled {LABEL}=true", "/etc/sandbox/trust.sh")

# The API server ends a watch after a while; the next one begins with all namespaces again.
_SCRIPT = f"""kubectl get namespaces --selector={LABEL}=true --watch --output=name |
while read -r namespace; do
  kubectl create configmap {CONFIG_MAP} --namespace="${{namespace#namespace/}}" \\
    --from-file={KEY}={ROOT} --dry-run=client --output=yaml |
    kubectl apply --server-side --force-conflicts --field-manager=sandbox --filename=-
done
"""


def node_files(root_pem: bytes, *, watches: bool) -> dict[PurePosixPath, bytes]:
    """The files of a node, the unit among them if it is the one that watches, which a control plane can.

    The node does it because nothing else in the cluster both has kubectl and lasts: namespaces come at any time.
    """
    unit_files = {
        PurePosixPath("/etc/sandbox/trust.sh"): _SCRIPT.encode(),
        PurePosixPath("/etc/systemd/system", UNIT): _UNIT.encode(),
    }
    return {ROOT: root_pem} | (unit_files if watches else {})
