"""No ingress controller of ours, for a user who brings one: that of an earlier spec would keep its ports."""

from __future__ import annotations

from dataclasses import dataclass

from sandbox.cluster.api import Cluster
from sandbox.names import SYSTEM_NAMESPACE, Names
from sandbox.steps import addon_objects, applied
from sandbox.steps.ingress import RECORD
from sandbox.steps.step import State, Status, Work


@dataclass(frozen=True)
class NoIngressStep:
    """Removes what the ingress step applied."""

    names: Names
    name: str = "ingress"
    needs: tuple[str, ...] = ("cluster",)
    title: str = "No ingress controller"

    def check(self) -> Status:
        there = applied.read(Cluster(self.names.kubeconfig), RECORD)
        return Status(State.DRIFTED, "an earlier spec asked for one") if there else Status(State.READY)

    def apply(self, work: Work) -> None:
        cluster = Cluster(self.names.kubeconfig)
        there = applied.read(cluster, RECORD)
        if there:
            addon_objects.remove(cluster, there.dropped(()))
        cluster.delete("v1", "ConfigMap", RECORD, SYSTEM_NAMESPACE)

    def undo(self) -> bool:
        return False
