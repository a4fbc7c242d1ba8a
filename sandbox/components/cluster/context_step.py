"""The cluster's context in the user's kubeconfig, for kubectl and everything like it."""

from __future__ import annotations

from dataclasses import dataclass

from sandbox.components.cluster import kubeconfig
from sandbox.names import Names
from sandbox.step import State, Status, Work


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
        path, own = self.names.home.kubeconfig, self.names.kubeconfig
        reason = kubeconfig.hindrance(path)
        if reason:
            return Status(State.READY, f"left alone, for {reason}; export KUBECONFIG={own}")
        return (
            Status(State.READY, str(path)) if kubeconfig.holds(path, self.names.cluster, own) else Status(State.ABSENT)
        )

    def apply(self, work: Work) -> None:
        kubeconfig.merge(self.names.home.kubeconfig, self.names.cluster, self.names.kubeconfig)

    def undo(self) -> bool:
        home, name = self.names.home, self.names.cluster
        removed = [kubeconfig.remove(path, name) for path in (home.kubeconfig, *home.other_kubeconfigs)]
        return any(removed)
