"""The cluster's context in the user's kubeconfig, for kubectl and everything like it."""

from __future__ import annotations

from dataclasses import dataclass

from sandbox.cluster import kubeconfig
from sandbox.names import Names
from sandbox.steps.step import State, Status, Work


@dataclass(frozen=True)
class ContextStep:
    """One context, cluster and user of our name; nothing else in the file is touched."""

    names: Names
    name: str = "context"
    needs: tuple[str, ...] = ("cluster",)

    @property
    def title(self) -> str:
        return f"Context {self.names.cluster}"

    def check(self) -> Status:
        if kubeconfig.holds(self.names.home.kubeconfig, self.names.cluster, self.names.kubeconfig):
            return Status(State.READY, str(self.names.home.kubeconfig))
        return Status(State.ABSENT)

    def apply(self, work: Work) -> None:
        kubeconfig.merge(self.names.home.kubeconfig, self.names.cluster, self.names.kubeconfig)

    def undo(self) -> bool:
        return kubeconfig.remove(self.names.home.kubeconfig, self.names.cluster)
