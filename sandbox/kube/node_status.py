"""What the cluster says about its nodes."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from datetime import UTC, datetime

from sandbox.kube.api import Cluster
from sandbox.kube.workload_status import conditions

# A kubelet that has just started reports for seconds that its node is not ready.
STARTING = 15.0  # seconds


def unready(cluster: Cluster, names: Collection[str]) -> Iterator[str]:
    """Yield which of the nodes `names` are not ready, with the reason. Raises ClusterError."""
    for node in cluster.list("v1", "Node"):
        for condition in conditions(node, "Ready") if node["metadata"]["name"] in names else ():
            changed = datetime.fromisoformat(condition.get("lastTransitionTime") or "1970-01-01T00:00:00Z")
            is_starting = condition["status"] == "False" and (datetime.now(UTC) - changed).total_seconds() < STARTING
            if condition["status"] != "True" and not is_starting:
                yield f"{node['metadata']['name']} is not ready: {condition.get('message') or condition.get('reason')}"
