"""No ingress controller of ours, for a user who brings one: that of an earlier spec would keep its ports."""

from __future__ import annotations

from dataclasses import dataclass

from sandbox.components.addons import addon_objects
from sandbox.components.ingress.step import RECORD, recorded
from sandbox.kube.records import Records
from sandbox.names import Names
from sandbox.step import State, Status, Work


@dataclass(frozen=True)
class NoIngressStep:
    """Removes what the ingress step applied."""

    names: Names
    name: str = "ingress"
    needs: tuple[str, ...] = ("cluster",)
    title: str = "No ingress controller"

    def check(self) -> Status:
        there = recorded(Records.of(self.names))
        return Status(State.DRIFTED, "an earlier spec asked for one") if there else Status(State.READY)

    def apply(self, work: Work) -> None:
        records = Records.of(self.names)
        there = recorded(records)
        if there:
            addon_objects.remove(records.cluster, there.dropped(()))
        records.delete(RECORD)

    def undo(self) -> bool:
        return False
