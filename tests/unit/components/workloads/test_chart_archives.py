"""Charts from elsewhere: pulled once, locked by the digest of their archive, and refused when that is another."""

from __future__ import annotations

import hashlib
import io
import json
import os
import tarfile
from pathlib import Path

import pytest
import yaml

from sandbox.bundle.store import Store
from sandbox.components.workloads.chart_archives import ChartArchives, ChartChanged, ChartPullStep, is_pulled
from sandbox.components.workloads.helm import Helm
from sandbox.config.schema import Chart, RemoteChart
from sandbox.errors import SandboxError, UsageError
from sandbox.step import State
from tests.support import fake_helm
from tests.support.fake_helm import calls
from tests.support.fakes import NoWork, applied
from tests.support.programs import make_program

MAP = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: web}\n"


def packed(text: str) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        files = {"web/Chart.yaml": "name: web\nversion: 1.2.3\n", "web/templates/web.yaml": text}
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content.encode()))
    return buffer.getvalue()


@pytest.fixture
def remote(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "remote"
    folder.mkdir()
    (folder / "web-1.2.3.tgz").write_bytes(packed(MAP))
    fake_helm.install(tmp_path, monkeypatch)
    monkeypatch.setenv("HELM_REMOTE", str(folder))
    return folder / "web-1.2.3.tgz"


@pytest.fixture
def chart(tmp_path: Path) -> RemoteChart:
    return RemoteChart(chart="oci://registry.example/charts/web", version="1.2.3", lock=tmp_path / "charts.lock.yaml")


def step_of(chart: RemoteChart, folder: Path) -> ChartPullStep:
    return ChartPullStep((chart,), ChartArchives(folder), Store(folder / "bundle"))


def test_chart_is_pulled_once_and_locked(remote: Path, chart: RemoteChart, tmp_path: Path) -> None:
    step = step_of(chart, tmp_path / "kept")
    assert step.check().state is State.ABSENT
    assert step.check().detail == "not pulled: oci://registry.example/charts/web 1.2.3"
    assert applied(step).state is State.READY
    digest = f"sha256:{hashlib.sha256(remote.read_bytes()).hexdigest()}"
    assert yaml.safe_load(chart.lock.read_text())["charts"] == [
        {"chart": "oci://registry.example/charts/web", "version": "1.2.3", "digest": digest}
    ]
    remote.unlink()  # no network is needed any more
    step.apply(NoWork())
    local = step.archives.find(chart)
    assert local is not None and (local.name, local.namespace) == ("web", "default")
    (words,) = calls(tmp_path / "asked", "pull")
    assert words[1] == chart.chart and "--version=1.2.3" in words and "--plain-http" not in words
    step.archives.folder.joinpath(f"{digest.partition(':')[2]}.tgz").write_bytes(b"damaged")
    assert step.check().state is State.ABSENT


@pytest.mark.security(7)
@pytest.mark.fault(89)
def test_chart_of_other_bytes_than_locked_is_refused(remote: Path, chart: RemoteChart, tmp_path: Path) -> None:
    """The same version of a chart has another archive → an error with both digests, and nothing is kept of it."""
    step_of(chart, tmp_path / "kept").apply(NoWork())
    before = chart.lock.read_text()
    first = hashlib.sha256(remote.read_bytes()).hexdigest()
    remote.write_bytes(packed(MAP + "data: {key: other}\n"))
    second = hashlib.sha256(remote.read_bytes()).hexdigest()
    elsewhere = step_of(chart, tmp_path / "of-a-colleague")
    assert elsewhere.check().state is State.ABSENT
    with pytest.raises(ChartChanged) as caught:
        elsewhere.apply(NoWork())
    assert caught.value.details == f"locked sha256:{first}\nfound  sha256:{second}"
    assert chart.lock.read_text() == before and elsewhere.check().state is State.ABSENT


def test_missing_chart_is_reported_in_helms_words(remote: Path, chart: RemoteChart, tmp_path: Path) -> None:
    absent = chart.model_copy(update={"version": "9.9.9"})
    with pytest.raises(SandboxError) as caught:
        step_of(absent, tmp_path / "kept").apply(NoWork())
    assert caught.value.brief == "helm cannot pull oci://registry.example/charts/web 9.9.9"
    assert "not found" in caught.value.details and "version:" in caught.value.fix
    assert not chart.lock.exists()


@pytest.mark.parametrize(
    ("place", "option"),
    [
        ({"chart": "oci://localhost:5001/charts/web"}, "--plain-http"),
        ({"chart": "web", "repo": "http://127.0.0.1:8879"}, "--repo=http://127.0.0.1:8879"),
    ],
)
def test_place_of_a_chart_is_handed_to_helm(remote: Path, tmp_path: Path, place: dict[str, str], option: str) -> None:
    chart = RemoteChart.model_validate({**place, "version": "1.2.3", "lock": tmp_path / "l.yaml"})
    step_of(chart, tmp_path / "kept").apply(NoWork())
    assert {place["chart"], option} <= set(calls(tmp_path / "asked", "pull")[0])


@pytest.mark.security(6)
def test_repository_that_the_user_added_is_used_with_its_account(
    remote: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The user's helm has a password for the repository → helm is given its name, and no argument has an account."""
    url = "https://charts.example.com"
    monkeypatch.setenv("HELM_REPOSITORIES", json.dumps([{"name": "mine", "url": f"{url}/"}]))
    chart = RemoteChart(chart="web", repo=url, version="1.2.3", lock=tmp_path / "l.yaml")
    step_of(chart, tmp_path / "kept").apply(NoWork())
    assert calls(tmp_path / "asked", "pull")[0][1] == "mine/web"


def test_broken_lock_is_reported_with_its_line(chart: RemoteChart, tmp_path: Path) -> None:
    chart.lock.write_text("apiVersion: sandbox.dev/v1\ncharts:\n- {chart: a, version: 1.0.0, digest: none}\n")
    with pytest.raises(UsageError, match=r"charts\.lock\.yaml:3"):
        step_of(chart, tmp_path / "kept").check()


@pytest.fixture
def local(tmp_path: Path) -> Chart:
    """A chart of this machine with a dependency that its folder lacks, and one that it has."""
    folder = tmp_path / "shop"
    (folder / "charts" / "there").mkdir(parents=True)
    near = "dependencies: [{name: near, version: 1.0.0, repository: 'file://../near'}]\n"
    (folder / "Chart.yaml").write_text(f"apiVersion: v2\nname: shop\nversion: 1.0.0\n{near}")
    pinned = [
        {"name": "web", "repository": "oci://registry.example/charts", "version": "1.2.3"},
        {"name": "there", "repository": "https://charts.example", "version": "1.0.0"},
        {"name": "near", "repository": "file://../near", "version": "1.0.0"},
    ]
    (folder / "Chart.lock").write_text(yaml.safe_dump({"dependencies": pinned, "digest": "sha256:0"}))
    return Chart(chart=folder)


def test_dependencies_are_built_by_helm_once(local: Chart, remote: Path, tmp_path: Path) -> None:
    archives = ChartArchives(tmp_path / "kept")
    assert archives.find(local) is None and is_pulled(local)
    step = ChartPullStep((local,), archives, Store(tmp_path / "bundle"))
    assert step.check().detail == "not pulled: dependencies of shop"
    (remote.parent / "near-1.0.0.tgz").write_bytes(packed(MAP))  # helm packs charts of the project, too
    step.apply(NoWork())
    assert archives.find(local) == local and step.check().state is State.READY
    assert (local.chart / "charts" / "web-1.2.3.tgz").read_bytes() == remote.read_bytes()
    archive = local.chart / "charts" / "near-1.0.0.tgz"
    near = tmp_path / "near" / "templates" / "web.yaml"
    near.parent.mkdir(parents=True)
    near.write_text("changed")
    os.utime(archive, (1, 1))
    assert archives.find(local) is None, "it is older than a file of its folder"
    archive.unlink()
    assert archives.find(local) is None
    (local.chart / "Chart.lock").unlink()
    assert archives.find(local) is None, "a chart of the project needs no lock"


def test_dependency_that_helm_cannot_pull_is_an_error_in_its_words(local: Chart, tmp_path: Path) -> None:
    program = tmp_path / "helm"
    make_program(program, 'echo "Error: the lock file (Chart.lock) is out of sync" >&2; exit 1')
    with pytest.raises(SandboxError, match="helm cannot pull the dependencies") as caught:
        ChartArchives(tmp_path / "kept").pull_all([local], Helm(program), lambda _: None)
    assert "out of sync" in caught.value.details and "helm dependency update" in caught.value.fix
