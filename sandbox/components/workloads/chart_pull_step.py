"""The archives of charts that come from registries and repositories, pulled while the cluster is made."""

from __future__ import annotations

from dataclasses import dataclass

from sandbox.bundle.store import Store
from sandbox.components.workloads.chart_archives import ChartArchives, described
from sandbox.components.workloads.helm import Helm
from sandbox.config.schema.apply_schema import AnyChart
from sandbox.step import NothingToUndo, State, Status, Work


@dataclass(frozen=True)
class ChartPullStep(NothingToUndo):
    """Pulls charts and their dependencies, and locks the charts."""

    charts: tuple[AnyChart, ...]
    archives: ChartArchives
    store: Store
    requires: tuple[str, ...] = ()
    name: str = "chart-archives"

    @property
    def title(self) -> str:
        return f"Charts: {', '.join(map(described, self.charts))}"

    def check(self) -> Status:
        missing = self.archives.missing(self.charts)
        if missing:
            return Status(State.ABSENT, f"not pulled: {', '.join(map(described, missing))}")
        return Status(State.READY, "locked")

    def apply(self, work: Work) -> None:
        self.archives.pull_all(self.charts, Helm.find(self.store), work.say)
