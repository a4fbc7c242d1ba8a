"""Charts: pulled once and locked; installed, changed, kept when they are another's, uninstalled, or only rendered."""

from __future__ import annotations

import hashlib
import json
import os
import stat
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from sandbox.components.workloads import charts_step
from sandbox.components.workloads.chart_archives import ChartArchives, ChartChanged, ChartPullStep, is_pulled, lock
from sandbox.components.workloads.charts_step import ChartsStep, RenderedCharts
from sandbox.components.workloads.helm import Helm, Release
from sandbox.components.workloads.image_names import Brought, ImageNames
from sandbox.components.workloads.moved_hosts import HostNames
from sandbox.components.workloads.restart import Program
from sandbox.config.schema import Chart, RemoteChart
from sandbox.errors import SandboxError, UsageError
from sandbox.kube.api import Cluster
from sandbox.names import Home, Names
from sandbox.oci.reference import Target
from sandbox.step import State, Status
from sandbox.system import files
from tests.support import fake_helm
from tests.support.api_server import ApiServer
from tests.support.fake_helm import calls, packed
from tests.support.fakes import NoWork, applied
from tests.support.images import TestImage, layer
from tests.support.programs import make_program
from tests.support.registry_simulator import Simulator

CHANGED = "web: the chart, its values or its images have changed"
OBJECTS = """\
apiVersion: v1
kind: ConfigMap
metadata: {name: web}
---
apiVersion: batch/v1
kind: CronJob
metadata: {name: tick}
spec: {jobTemplate: {spec: {template: {spec: {containers: [{name: c, image: 'ghcr.io/acme/web:1'}]}}}}}
"""

DEPLOYMENT = """\
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec: {selector: {matchLabels: {app: web}}}
"""
ROUTE = """\
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: web}
spec: {hostnames: [web.shop.test]}
"""
FAILING = yaml.safe_load("""\
metadata: {name: web-1, namespace: shop, labels: {app: web}}
status:
  containerStatuses:
  - name: web
    restartCount: 1
    state: {waiting: {reason: CrashLoopBackOff}}
    lastState: {terminated: {reason: StartError, exitCode: 128, message: 'exec: "no-such": not found'}}
""")


@pytest.fixture
def chart(tmp_path: Path) -> Chart:
    folder = tmp_path / "charts" / "web"
    (folder / "templates").mkdir(parents=True)
    (folder / "Chart.yaml").write_text("apiVersion: v2\nname: web\nversion: 1.0.0\n")
    (folder / "templates" / "web.yaml").write_text(OBJECTS)
    (tmp_path / "dev.yaml").write_text("replicas: 1\n")
    return Chart(chart=folder, namespace="shop", values=(tmp_path / "dev.yaml",), set={"image.tag": "1", "debug": True})


@pytest.fixture
def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return fake_helm.install(tmp_path, monkeypatch)


@pytest.fixture
def step(names: Names, server: ApiServer, chart: Chart, asked: Path, tmp_path: Path) -> ChartsStep:
    images = ImageNames(prefix="localhost:5001", url="http://127.0.0.1:1")
    return ChartsStep(names, (chart,), images, requires=())


def release_of(step: ChartsStep) -> Release | None:
    return step.program.release("web", "shop", step.names.kubeconfig)


def test_release_is_installed_once_and_upgraded_on_change(step: ChartsStep, asked: Path, chart: Chart) -> None:
    assert step.check().state is State.ABSENT
    assert applied(step) == Status(State.READY, "web revision 1")
    (words,) = calls(asked, "upgrade")
    assert words[-3:] == ["--", "web", str(chart.chart)]
    assert {"--install", "--create-namespace"} <= set(words)
    assert [f"--values={chart.values[0]}", "--set-file=image.tag@1", "--set-json=debug=true"] == words[-6:-3]
    chart.values[0].write_text("replicas: 2\n")
    assert step.check() == Status(State.DRIFTED, CHANGED)
    assert applied(step).state is State.READY
    chart.values[0].unlink()
    assert step.check() == Status(State.DRIFTED, CHANGED)


def test_release_that_nothing_names_is_uninstalled(step: ChartsStep, asked: Path, names: Names) -> None:
    step.apply(NoWork())
    assert names.charts.exists()
    none = replace(step, charts=())
    assert none.check().detail == "no longer in the spec: releases shop/web"
    none.apply(NoWork())
    assert calls(asked, "uninstall")[0][1:] == ["--namespace=shop", "--wait", "--", "web"]
    assert none.check().state is State.READY
    assert not names.charts.exists()


@pytest.mark.security(20)
def test_release_of_another_user_is_kept(
    step: ChartsStep, asked: Path, server: ApiServer, names: Names, chart: Chart, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A release of the same name that another made, now or after, or a pod wrote down → an error, and it stays."""
    step.apply(NoWork())
    with monkeypatch.context() as later:
        later.setenv("HELM_TIME", "2027-01-01T00:00:00Z")
        step.program.upgrade(chart, step.names.kubeconfig, {}, lambda _: None)
    assert step.check().detail == "web: `up` did not make it"
    with pytest.raises(SandboxError, match="that `up` did not make"):
        step.apply(NoWork())
    cluster = Cluster(names.kubeconfig)
    cluster.delete("v1", "ConfigMap", "charts", "sandbox-system")
    with pytest.raises(SandboxError, match="there is a release 'web' in shop that `up` did not make") as caught:
        step.apply(NoWork())
    assert "uninstall web --namespace shop" in caught.value.fix
    assert len(calls(asked, "upgrade")) == 2, "one was the user's"
    server.objects["/api/v1/namespaces/sandbox-system/configmaps/charts"] = {
        "metadata": {"name": "charts"},
        "data": {"releases": json.dumps({"shop/web": {}})},
    }
    replace(step, charts=()).apply(NoWork())
    assert release_of(step) is not None


def test_a_release_that_failed_is_tried_again(step: ChartsStep, asked: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HELM_ENDS", "failed")
    with pytest.raises(SandboxError, match="helm cannot bring the release web") as caught:
        step.apply(NoWork())
    assert "UPGRADE FAILED: context deadline exceeded" in caught.value.details
    assert step.check().detail == "web: failed"
    monkeypatch.setenv("HELM_ENDS", "pending-install")
    step.apply(NoWork())
    monkeypatch.delenv("HELM_ENDS")
    step.apply(NoWork())
    assert calls(asked, "uninstall") and step.check().state is State.READY


def test_release_whose_pods_cannot_start_is_an_error_with_their_reason(
    step: ChartsStep, server: ApiServer, chart: Chart
) -> None:
    """The program of its pods cannot start → an error with the reason, and the next `up` tries again."""
    (chart.chart / "templates" / "web.yaml").write_text(DEPLOYMENT)
    live = {**yaml.safe_load(DEPLOYMENT), "status": {"observedGeneration": 1}}
    live["metadata"]["namespace"] = "shop"
    server.objects["/apis/apps/v1/namespaces/shop/deployments/web"] = live
    server.objects["/api/v1/namespaces/shop/pods/web-1"] = FAILING
    with pytest.raises(SandboxError, match="Deployment shop/web cannot start") as caught:
        step.apply(NoWork())
    assert 'exec: "no-such": not found' in caught.value.details
    assert step.check().detail == CHANGED


def test_a_chart_waits_for_the_webhook_that_is_to_allow_it(
    step: ChartsStep, asked: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """helm is refused as nothing answers a webhook yet → once more, until it answers; other errors end it."""
    errors = iter(('failed calling webhook "a.b": connection refused', "failed calling webhook", "no such kind"))
    monkeypatch.setattr(charts_step, "RETRY", 0.0)

    def upgrade(*_: object) -> None:
        raise SandboxError("helm cannot bring the release web", details=next(errors))

    monkeypatch.setattr(Helm, "upgrade", upgrade)
    with pytest.raises(SandboxError) as caught:
        step.apply(NoWork())
    assert caught.value.details == "no such kind"


def test_images_of_a_chart_are_those_of_images_yaml(
    step: ChartsStep, registry: Simulator, chart: Chart, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = (TestImage((layer(number),)) for number in (1, 2))
    digest = registry.publish(first, "shop/web", "dev")
    brought = (Brought(Target("shop/web", "dev"), built=True),)
    made = replace(step, images=ImageNames(prefix="localhost:5001", url=registry.url, brought=brought))
    made.apply(NoWork())
    release = release_of(step)
    assert release is not None and f"localhost:5001/shop/web:dev@{digest}" in release.manifest
    assert made.check().state is State.READY
    registry.publish(second, "shop/web", "dev")
    assert made.check().detail == CHANGED
    registry.publish(first, "shop/web", "dev")
    monkeypatch.chdir(chart.chart)
    (chart.chart / "yaml.py").write_text("raise SystemExit('a module of the project')")  # which is not imported
    made.apply(NoWork())
    restarting = replace(made, programs=lambda: {"localhost:5001/shop/web:dev": Program(("node",), ("app.js",))})
    assert restarting.check().state is State.DRIFTED
    restarting.apply(NoWork())
    release = release_of(step)
    assert release is not None and "- node" in release.manifest and "- sandbox-dev" in release.manifest
    assert (restarting.check().state, made.check().state) == (State.READY, State.DRIFTED)


@pytest.mark.parametrize("version", ["v3.20.0", "v4.3.1"])
def test_hosts_of_a_chart_are_below_the_sandboxs_domain(
    step: ChartsStep, chart: Chart, monkeypatch: pytest.MonkeyPatch, version: str
) -> None:
    monkeypatch.setenv("HELM_IS", version)
    (chart.chart / "templates" / "route.yaml").write_text(ROUTE)
    made = replace(step, hosts=HostNames("shop.test", "fix.test"))
    made.apply(NoWork())
    release = release_of(step)
    assert release is not None and "- web.fix.test" in release.manifest
    assert (made.check().state, step.check().state) == (State.READY, State.DRIFTED)


def test_chart_from_elsewhere_is_installed_once_pulled(step: ChartsStep, asked: Path, tmp_path: Path) -> None:
    remote = RemoteChart(chart="oci://registry.example/web", version="1.2.3", lock=tmp_path / "charts.lock.yaml")
    step = replace(step, charts=(remote,))
    assert step.check().detail == "web is not pulled"
    archive = packed(OBJECTS)
    digest = hashlib.sha256(archive).hexdigest()
    files.write_private(step.names.home.charts / f"{digest}.tgz", archive)
    lock([remote], {remote: f"sha256:{digest}"})
    assert applied(step) == Status(State.READY, "web revision 1")
    assert calls(asked, "upgrade")[0][-1].endswith(f"{digest}.tgz")


def config(name: str, hook: str = "") -> str:
    annotations = f", annotations: {{helm.sh/hook: '{hook}'}}" if hook else ""
    return f"---\napiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}{annotations}}}\n"


def test_chart_is_rendered_once_until_it_changes(chart: Chart, asked: Path, names: Names) -> None:
    charts = RenderedCharts((chart,), names, "ann")
    assert [manifest["metadata"]["name"] for manifest in charts.objects()] == ["web", "tick"]
    assert charts.objects() == charts.objects()
    (words,) = calls(asked, "template")
    assert "--namespace=ann" in words
    more = config("a") + config("b", "pre-install,pre-upgrade") + config("c", "test") + config("d", "pre-delete, test")
    (chart.chart / "templates" / "web.yaml").write_text(more)
    assert [manifest["metadata"]["name"] for manifest in charts.objects()] == ["a", "b"], "hooks of installations stay"
    (file,) = names.rendered_charts.iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600, "a Secret may be in it"


@pytest.fixture
def remote(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "remote"
    folder.mkdir()
    (folder / "web-1.2.3.tgz").write_bytes(packed(config("web")))
    fake_helm.install(tmp_path, monkeypatch)
    monkeypatch.setenv("HELM_REMOTE", str(folder))
    return folder / "web-1.2.3.tgz"


@pytest.fixture
def pinned(tmp_path: Path) -> RemoteChart:
    return RemoteChart(chart="oci://registry.example/charts/web", version="1.2.3", lock=tmp_path / "charts.lock.yaml")


def home_in(folder: Path) -> Home:
    return Home(folder / "state", folder, folder / "kubeconfig")


def step_of(chart: RemoteChart, folder: Path) -> ChartPullStep:
    return ChartPullStep((chart,), home_in(folder))


def test_chart_is_pulled_once_and_locked(remote: Path, pinned: RemoteChart, tmp_path: Path) -> None:
    step = step_of(pinned, tmp_path / "kept")
    assert step.check().state is State.ABSENT
    assert step.check().detail == "not pulled: oci://registry.example/charts/web 1.2.3"
    assert applied(step).state is State.READY
    digest = f"sha256:{hashlib.sha256(remote.read_bytes()).hexdigest()}"
    assert yaml.safe_load(pinned.lock.read_text())["charts"] == [
        {"chart": "oci://registry.example/charts/web", "version": "1.2.3", "digest": digest}
    ]
    remote.unlink()  # no network is needed any more
    step.apply(NoWork())
    local = ChartArchives(step.home.charts).find(pinned)
    assert local is not None and (local.name, local.namespace) == ("web", "default")
    (words,) = calls(tmp_path / "asked", "pull")
    assert words[1] == pinned.chart and "--version=1.2.3" in words and "--plain-http" not in words
    (step.home.charts / f"{digest.partition(':')[2]}.tgz").write_bytes(b"damaged")
    assert step.check().state is State.ABSENT


@pytest.mark.security(7)
@pytest.mark.fault(89)
def test_chart_of_other_bytes_than_locked_is_refused(remote: Path, pinned: RemoteChart, tmp_path: Path) -> None:
    """The same version of a chart has another archive → an error with both digests, and nothing is kept of it."""
    step_of(pinned, tmp_path / "kept").apply(NoWork())
    before = pinned.lock.read_text()
    first = hashlib.sha256(remote.read_bytes()).hexdigest()
    remote.write_bytes(packed(config("web") + "data: {key: other}\n"))
    second = hashlib.sha256(remote.read_bytes()).hexdigest()
    elsewhere = step_of(pinned, tmp_path / "of-a-colleague")
    assert elsewhere.check().state is State.ABSENT
    with pytest.raises(ChartChanged) as caught:
        elsewhere.apply(NoWork())
    assert caught.value.details == f"locked sha256:{first}\nfound  sha256:{second}"
    assert pinned.lock.read_text() == before and elsewhere.check().state is State.ABSENT


def test_missing_chart_is_reported_in_helms_words(remote: Path, pinned: RemoteChart, tmp_path: Path) -> None:
    absent = pinned.model_copy(update={"version": "9.9.9"})
    with pytest.raises(SandboxError) as caught:
        step_of(absent, tmp_path / "kept").apply(NoWork())
    assert caught.value.brief == "helm cannot pull oci://registry.example/charts/web 9.9.9"
    assert "not found" in caught.value.details and "version:" in caught.value.fix
    assert not pinned.lock.exists()


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
    """The user added the repository to helm, with a password → helm is asked by the repository's name."""
    url = "https://charts.example.com"
    monkeypatch.setenv("HELM_REPOSITORIES", json.dumps([{"name": "mine", "url": f"{url}/"}]))
    chart = RemoteChart(chart="web", repo=url, version="1.2.3", lock=tmp_path / "l.yaml")
    step_of(chart, tmp_path / "kept").apply(NoWork())
    assert calls(tmp_path / "asked", "pull")[0][1] == "mine/web"


def test_broken_lock_is_reported_with_its_line(pinned: RemoteChart, tmp_path: Path) -> None:
    pinned.lock.write_text("apiVersion: sandbox.dev/v1\ncharts:\n- {chart: a, version: 1.0.0, digest: none}\n")
    with pytest.raises(UsageError, match=r"charts\.lock\.yaml:3"):
        step_of(pinned, tmp_path / "kept").check()


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
    home = home_in(tmp_path / "kept")
    archives = ChartArchives(home.charts)
    assert archives.find(local) is None and is_pulled(local)
    step = ChartPullStep((local,), home)
    assert step.check().detail == "not pulled: dependencies of shop"
    (remote.parent / "near-1.0.0.tgz").write_bytes(packed(config("web")))  # helm packs charts of the project, too
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
