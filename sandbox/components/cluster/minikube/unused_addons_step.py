"""minikube's addons of an earlier spec, off again before others come in their place; most runs find none at no cost."""

from __future__ import annotations

from dataclasses import dataclass

from sandbox.components.cluster.minikube import enabled_addons
from sandbox.components.cluster.minikube.command import Minikube
from sandbox.kube.records import Records
from sandbox.names import Names
from sandbox.step import State, Status, Work


@dataclass(frozen=True)
class MinikubeDisusedStep:
    """Disables what an earlier spec had enabled and this one, which has those of `used`, does not name."""

    minikube: Minikube
    names: Names
    used: tuple[str, ...]
    name: str = "minikube-disused"
    needs: tuple[str, ...] = ("cluster",)
    title: str = "Disused addons of minikube"

    def check(self) -> Status:
        gone = self._disused(Records.of(self.names))
        if gone:
            return Status(State.DRIFTED, f"nobody asks for {', '.join(gone)} any more")
        return Status(State.READY, "none")

    def apply(self, work: Work) -> None:
        records = Records.of(self.names)
        for addon in self._disused(records):
            work.say(f"disabling {addon}")
            self.minikube.disable(addon)
            enabled_addons.forget(records, addon)

    def undo(self) -> bool:
        return False

    def _disused(self, records: Records) -> list[str]:
        known = enabled_addons.read(records).items()
        return sorted(name for name, by in known if by == "spec" and name not in self.used)
