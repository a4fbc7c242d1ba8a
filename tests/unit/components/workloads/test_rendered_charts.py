"""Charts without a release: their objects, the same until the chart changes."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from sandbox.bundle.store import Store
from sandbox.components.workloads.chart_archives import ChartArchives
from sandbox.components.workloads.charts_step import RenderedCharts
from sandbox.config.schema.apply_schema import Chart
from tests.support import fake_helm


def config(name: str, hook: str = "") -> str:
    annotations = f", annotations: {{helm.sh/hook: '{hook}'}}" if hook else ""
    return f"---\napiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}{annotations}}}\n"


@pytest.fixture
def charts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RenderedCharts:
    fake_helm.install(tmp_path, monkeypatch)
    templates = tmp_path / "web" / "templates"
    templates.mkdir(parents=True)
    (templates.parent / "Chart.yaml").write_text("apiVersion: v2\nname: web\nversion: 1.0.0\n")
    (templates / "a.yaml").write_text(config("a"))
    return RenderedCharts(
        charts=(Chart(chart=tmp_path / "web"),),
        archives=ChartArchives(tmp_path / "kept"),
        store=Store(tmp_path / "bundle"),
        folder=tmp_path / "rendered",
        namespace="ann",
    )


def names(charts: RenderedCharts) -> list[str]:
    return [manifest["metadata"]["name"] for manifest in charts.objects()]


def test_chart_is_rendered_once_until_it_changes(charts: RenderedCharts) -> None:
    assert names(charts) == names(charts) == ["a"]
    (line,) = charts.folder.with_name("asked").read_text().splitlines()
    assert "--namespace=ann" in json.loads(line)
    (charts.folder.with_name("web") / "templates" / "b.yaml").write_text(config("b"))
    assert names(charts) == ["a", "b"]
    (file,) = charts.folder.iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600, "a Secret may be in it"


@pytest.mark.parametrize(
    ("hook", "applied"),
    [("pre-install,pre-upgrade", True), ("post-upgrade", True), ("test", False), ("pre-delete, post-delete", False)],
)
def test_hook_is_applied_if_an_installation_runs_it(charts: RenderedCharts, hook: str, applied: bool) -> None:
    (charts.folder.with_name("web") / "templates" / "b.yaml").write_text(config("b", hook))
    assert names(charts) == (["a", "b"] if applied else ["a"])
