"""kube-proxy as the spec configures it: nothing else notices when it ends at once, and then no Service is reached."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

from sandbox.kube.api import Cluster, ClusterError
from sandbox.kube.readiness import wait_ready
from sandbox.kube.workload_status import progress
from sandbox.names import Names
from sandbox.provider import Nodes
from sandbox.step import NothingToUndo, State, Status, Work
from sandbox.system.wait import WaitTimeout, wait_until

TIMEOUT = 120.0
CONNECT = "exec 3<>/dev/tcp/$0/$1"  # bash's own
DAEMON_SET: dict[str, Any] = {
    "apiVersion": "apps/v1",
    "kind": "DaemonSet",
    "metadata": {"name": "kube-proxy", "namespace": "kube-system"},
}


class KubeProxyFailed(ClusterError):
    id = "kube-proxy"


@dataclass(frozen=True)
class KubeProxyStep(NothingToUndo):
    """Waits for a kube-proxy that the spec configures.

    A sandbox's own parts do without it: they ask the API server on their node. As kubeadm configures it, it is left
    alone, because it always starts, in its own time. Its pods are ready while it runs, also for the moments before it
    ends: only a Service that a node reaches tells that it works.
    """

    names: Names
    nodes: Nodes
    name: str = "kube-proxy"
    requires: tuple[str, ...] = ("cluster",)
    title: str = "kube-proxy as configured"

    def check(self) -> Status:
        lacks = self._lacks(Cluster(self.names.kubeconfig))
        return Status(State.DRIFTED, lacks) if lacks else Status(State.READY)

    def apply(self, work: Work) -> None:
        cluster = Cluster(self.names.kubeconfig)
        # kubeadm makes it late, when the cluster is in use already; what is not there is not waited for.
        wait_until(lambda: None if cluster.live(DAEMON_SET) else "absent", what="kubeadm's kube-proxy", timeout=TIMEOUT)
        try:
            wait_until(partial(self._unready, cluster), what="kube-proxy", timeout=TIMEOUT)
        except (ClusterError, WaitTimeout) as error:
            if not self._lacks(cluster):  # it is the API server that did not answer
                raise
            raise KubeProxyFailed(
                "kube-proxy does not run as the spec configures it, and without it no Service is reached",
                details=error.details,
                fix="correct `kind` in the spec's `cluster`: `networking: {kubeProxyMode: nftables}` works without "
                "further programs and kernel modules",
            ) from error

    def _unready(self, cluster: Cluster) -> str | None:
        wait_ready(cluster, [DAEMON_SET], timeout=TIMEOUT)
        return self._unreached(cluster)

    def _lacks(self, cluster: Cluster) -> str | None:
        live = cluster.live(DAEMON_SET)
        return (progress(live) or self._unreached(cluster)) if live else "absent"

    def _unreached(self, cluster: Cluster) -> str | None:
        service = cluster.get("v1", "Service", "kubernetes", "default")
        if service is None:
            return "there is no Service kubernetes"
        address, port = service["spec"]["clusterIP"], str(service["spec"]["ports"][0]["port"])
        node = self.nodes.control_plane
        status, _ = self.nodes.execute(node, ("timeout", "2", "bash", "-c", CONNECT, address, port))
        return f"{node} does not reach the Service kubernetes at {address}:{port}" if status else None
