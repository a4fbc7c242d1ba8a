"""What unit tests believe of helm holds for their stand-in and for the real one, with an API server each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from sandbox.components.workloads.helm import Helm, Release
from sandbox.config.schema import Chart
from sandbox.errors import BadFile, SandboxError
from tests.contract import api_servers
from tests.support import bundled, fake_helm

TEMPLATE = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: page}\ndata: {text: hello}\n"


@dataclass(frozen=True)
class Stage:
    """A helm, the kubeconfig of a cluster without releases, and a chart of one object."""

    helm: Helm
    kubeconfig: Path
    folder: Path

    @property
    def chart(self) -> Chart:
        return Chart(chart=self.folder)

    def release(self, name: str = "web") -> Release | None:
        return self.helm.release(name, "default", self.kubeconfig)

    def write(self, template: str) -> None:
        (self.folder / "templates" / "web.yaml").write_text(template)


@pytest.fixture(params=["stand-in", pytest.param("helm", marks=pytest.mark.real)])
def stage(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    folder = tmp_path / "web"
    (folder / "templates").mkdir(parents=True)
    (folder / "Chart.yaml").write_text("{apiVersion: v2, name: web, version: 1.0.0}\n")
    (folder / "templates" / "web.yaml").write_text(TEMPLATE)
    if request.param == "helm":
        with api_servers.real(tmp_path) as kubeconfig:
            yield Stage(bundled.helm(), kubeconfig, folder)
    else:
        programs = tmp_path / "bin"
        programs.mkdir()
        fake_helm.install(programs, monkeypatch)
        with api_servers.memory(tmp_path) as kubeconfig:
            yield Stage(Helm(programs / "helm"), kubeconfig, folder)


def test_release_is_installed_read_and_uninstalled(stage: Stage) -> None:
    said: list[str] = []
    assert stage.release() is None
    stage.helm.upgrade(stage.chart, stage.kubeconfig, {}, said.append)
    release = stage.release()
    assert release is not None and (release.revision, release.state) == (1, "deployed")
    assert release.installed.startswith("20") and stage.release("other") is None
    (page,) = release.objects("default")
    assert page["metadata"] == {"namespace": "default", "name": "page"}
    stage.helm.uninstall("web", "default", stage.kubeconfig, said.append)
    assert stage.release() is None


def test_chart_renders_without_a_cluster(stage: Stage) -> None:
    (found,) = stage.helm.render(stage.chart)
    assert (found["kind"], found["metadata"]["name"], found["data"]) == ("ConfigMap", "page", {"text": "hello"})


def test_chart_that_does_not_render_is_named_by_file_and_line(stage: Stage) -> None:
    stage.write(f"{TEMPLATE}{{{{ broken\n")
    with pytest.raises(BadFile, match="does not render") as caught:
        stage.helm.render(stage.chart)
    assert "parse error at (web/templates/web.yaml:" in caught.value.details
    with pytest.raises(SandboxError) as refused:
        stage.helm.upgrade(stage.chart, stage.kubeconfig, {}, lambda _: None)
    assert refused.value.id == "helm" and "web/templates/web.yaml:" in refused.value.details
