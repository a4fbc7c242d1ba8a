"""Objects in a namespace of a cluster that is not ours: applied, waited for, and gone with the namespace's tenancy."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from sandbox.components import content_hash
from sandbox.components.cluster.existing.tenant_namespace import Place
from sandbox.kube.api import Manifest, title
from sandbox.kube.readiness import apply_patiently, wait_ready
from sandbox.step import State, Status, Work

TIMEOUT = 300.0


@dataclass(frozen=True)
class ObjectsStep:
    """Objects of one purpose, the workload last. `make` tells which, as things are when it is asked."""

    place: Place
    name: str
    title: str
    promises: str
    make: Callable[[], Sequence[Manifest]]
    needs: tuple[str, ...] = ("cluster",)

    def check(self) -> Status:
        amiss = content_hash.amiss(self.place.cluster, self._wanted())
        return amiss or Status(State.READY, self.promises)

    def apply(self, work: Work) -> None:
        cluster, wanted = self.place.cluster, self._wanted()
        for one in wanted:
            work.say(title(one))
            apply_patiently(cluster, one, say=work.say)
        work.say("waiting for the pods")
        wait_ready(cluster, wanted, timeout=TIMEOUT)

    def undo(self) -> bool:
        return False

    def _wanted(self) -> list[dict[str, Any]]:
        return [content_hash.marked(self.place.cluster.own(one)) for one in self.make()]
