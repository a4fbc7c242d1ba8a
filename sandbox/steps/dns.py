"""The cluster's own DNS, answering: until then pods resolve nothing, whatever the node says of itself."""

from __future__ import annotations

from dataclasses import dataclass

from sandbox.cluster.api import Cluster
from sandbox.cluster.readiness import pending, wait_ready
from sandbox.names import Names
from sandbox.steps.step import State, Status, Work

COREDNS = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "coredns", "namespace": "kube-system"}}


@dataclass(frozen=True)
class DnsStep:
    """Makes nothing: CoreDNS comes with the cluster; this waits for it."""

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
        wait_ready(Cluster(self.names.kubeconfig), [COREDNS], timeout=120)

    def undo(self) -> bool:
        return False
