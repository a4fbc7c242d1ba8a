"""The archives of charts that come from registries and repositories, pulled while the cluster is made."""

from __future__ import annotations

from dataclasses import dataclass

from sandbox.bundle.store import Store
from sandbox.components.workloads.chart_archives import ChartArchives, pull_all
from sandbox.components.workloads.helm import Helm
from sandbox.config.schema.apply_schema import RemoteChart
from sandbox.step import NothingToUndo, State, Status, Work


@dataclass(frozen=True)
class ChartPullStep(NothingToUndo):
    """Pulls and locks the charts; those that are locked and kept in the user's cache are not pulled again."""

    charts: tuple[RemoteChart, ...]
    archives: ChartArchives
    store: Store
    requires: tuple[str, ...] = ()
    name: str = "chart-archives"

    @property
    def title(self) -> str:
        return f"Charts: {', '.join(f'{one.title} {one.version}' for one in self.charts)}"

    def check(self) -> Status:
        missing = self.archives.missing(self.charts)
        if missing:
            return Status(State.ABSENT, f"not pulled: {', '.join(f'{one.source} {one.version}' for one in missing)}")
        return Status(State.READY, "locked")

    def apply(self, work: Work) -> None:
        pull_all(self.charts, self.archives, Helm.find(self.store), work.say)
