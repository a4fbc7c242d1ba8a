"""Charts as the objects that they render to, for a cluster in which only one namespace is the sandbox's.

Without a release nothing remembers what a chart has made up, such as a password, so the objects are kept until the
chart or its values change. Helm's hooks are objects like others there.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sandbox.bundle.store import Store
from sandbox.components.workloads import charts_step
from sandbox.components.workloads.chart_archives import ChartArchives
from sandbox.components.workloads.helm import Helm
from sandbox.config.schema.apply_schema import AnyChart, Chart
from sandbox.kube.api import Manifest
from sandbox.quantities import plural
from sandbox.system import files

# The hooks that an installation or an upgrade runs.
RUN = {"pre-install", "post-install", "pre-upgrade", "post-upgrade", "crd-install"}


@dataclass(frozen=True, kw_only=True)
class RenderedCharts:
    """The objects of the charts for `namespace`, in files of `folder` that only the user can read."""

    charts: tuple[AnyChart, ...]
    archives: ChartArchives
    store: Store
    folder: Path
    namespace: str

    @property
    def title(self) -> str:
        return f"{plural(len(self.charts), 'chart')} {', '.join(chart.name for chart in self.charts)}"

    def objects(self) -> list[dict[str, Any]]:
        charts = (charts_step.pulled(chart, self.archives) for chart in self.charts)
        return [
            manifest
            for chart in charts
            for manifest in self._kept(chart.model_copy(update={"namespace": self.namespace}))
        ]

    def _kept(self, chart: Chart) -> list[dict[str, Any]]:
        path, digest = self.folder / f"{chart.name}.json", charts_step.digest(chart)
        if path.exists():
            kept = json.loads(path.read_text(encoding="utf-8"))
            if kept["digest"] == digest:
                return list(kept["objects"])
        objects = [manifest for manifest in Helm.find(self.store).render(chart) if _is_applied(manifest)]
        files.make_private_dir(self.folder)
        files.write_atomic(path, json.dumps({"digest": digest, "objects": objects}).encode(), mode=0o600)
        return objects


def _is_applied(manifest: Manifest) -> bool:
    hooks = charts_step.hooks(manifest)
    return not hooks or not RUN.isdisjoint(hooks)
