"""The cluster's own DNS, answering: until then pods resolve nothing, whatever the node says of itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sandbox.cluster.api import Cluster
from sandbox.cluster.readiness import pending, wait_ready
from sandbox.names import Names
from sandbox.steps.step import State, Status, Work

# kubeadm runs two and looks at them every ten seconds; on one node one will do, and pods should not wait for the look.
COREDNS: dict[str, Any] = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"name": "coredns", "namespace": "kube-system"},
    "spec": {
        "replicas": 1,
        "template": {"spec": {"containers": [{"name": "coredns", "readinessProbe": {"periodSeconds": 1}}]}},
    },
}


@dataclass(frozen=True)
class DnsStep:
    """CoreDNS comes with the cluster; this suits it to one node and waits for it."""

    names: Names
    name: str = "dns"
    needs: tuple[str, ...] = ("cluster",)

    @property
    def title(self) -> str:
        return "DNS of the cluster"

    def check(self) -> Status:
        waits_for = pending(Cluster(self.names.kubeconfig), COREDNS)
        return Status(State.DRIFTED, waits_for) if waits_for else Status(State.READY)

    def apply(self, work: Work) -> None:
        cluster = Cluster(self.names.kubeconfig)
        cluster.apply(COREDNS)
        wait_ready(cluster, [COREDNS], timeout=120)

    def undo(self) -> bool:
        return False
