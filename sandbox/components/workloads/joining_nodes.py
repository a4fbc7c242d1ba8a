"""Nodes that are about to join: pods made before them would all be placed on the first."""

from __future__ import annotations

from collections.abc import Collection
from contextlib import suppress

from sandbox.kube.api import Cluster, Say
from sandbox.system.wait import WaitTimeout, wait_until

# The API server gives it to a new node, and the node controller takes it away.
NOT_READY = "node.kubernetes.io/not-ready"
PATIENCE = 60.0  # seconds; what keeps a node from joining is told by the cluster's own step


def await_nodes(cluster: Cluster, names: Collection[str], say: Say) -> None:
    """Wait until pods can be placed on each of the nodes `names`, but not for one that is lost."""

    def joining() -> str | None:
        nodes = {node["metadata"]["name"]: node.get("spec", {}) for node in cluster.list("v1", "Node")}
        late = [name for name in names if name not in nodes or _is_new(nodes[name].get("taints") or ())]
        return f"waiting for {', '.join(late)}" if late else None

    if len(names) > 1:
        with suppress(WaitTimeout):
            wait_until(joining, what="the nodes", timeout=PATIENCE, say=say)


def _is_new(taints: Collection[dict[str, str]]) -> bool:
    return any(taint["key"] == NOT_READY for taint in taints)
