"""The step of the addons."""

from __future__ import annotations

from dataclasses import dataclass

from sandbox.components.addons.addon_manager import AddonManager
from sandbox.step import NothingToUndo, Status, Work


@dataclass(frozen=True)
class AddonStep(NothingToUndo):
    """All wanted addons; they are removed with the cluster."""

    manager: AddonManager
    requires: tuple[str, ...] = ("wiring",)
    name: str = "addons"
    title: str = "Addons"

    def check(self) -> Status:
        return self.manager.status()

    def apply(self, work: Work) -> None:
        self.manager.install(work)
