"""A round of `dev` with a registry in memory and a small API server: what is built, pushed, applied, waited for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast
from unittest.mock import Mock

import pytest

from sandbox.app.dev import container_sync
from sandbox.app.dev.changed_files import Copied, DevWork
from sandbox.app.dev.dev_report import DevReport
from sandbox.app.dev.rounds import Rounds, prepared
from sandbox.components.workloads import restart
from sandbox.components.workloads.charts_step import ChartsStep
from sandbox.components.workloads.image_names import Brought, ImageNames
from sandbox.components.workloads.step import ApplyStep
from sandbox.config.schema import Chart
from sandbox.engine import Engine, EngineError
from sandbox.errors import SandboxError
from sandbox.images.images_yaml import FromBuild, SyncRule
from sandbox.images.lockfile import LockFile
from sandbox.images.push_step import PushStep
from sandbox.kube.container_exec import Executed
from sandbox.names import Names
from sandbox.oci.reference import parse_target as parse
from sandbox.step import Overtaken, State, Status
from tests.support.api_server import ApiServer
from tests.support.fakes import NoWork
from tests.support.images import FakeEngine, TestImage, layer
from tests.support.registry_simulator import Simulator

WEB = parse("web:dev")
DEPLOYMENT: dict[str, Any] = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"name": "web"},
    "spec": {"replicas": 1, "template": {"spec": {"containers": [{"name": "web", "image": "web:dev"}]}}},
}
SETTINGS: dict[str, Any] = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"a": "1"}}
PLACE = "/apis/apps/v1/namespaces/default/deployments/web"
POD = "/api/v1/namespaces/default/pods/web"


@dataclass
class Told(DevReport):
    """A report that keeps what it hears."""

    phases: list[str] = field(default_factory=list)
    errors: list[SandboxError] = field(default_factory=list)

    def phase(self, name: str, what: str, seconds: float, detail: str = "") -> None:
        self.phases.append(f"{name} {what} {detail}".strip())

    def failed(self, error: SandboxError) -> None:
        self.errors.append(error)


class Builder(FakeEngine):
    """An engine whose next build gives another image, or fails."""

    def __init__(self, name: str) -> None:
        super().__init__({name: TestImage((layer(1),), label="0")})
        self.builds = 0
        self.fails = False

    def build(self, context: Path, tag: str) -> None:
        if self.fails:
            raise EngineError("building web:dev failed", details="Step 2/2 : RUN false")
        self.builds += 1
        self.images = {tag: TestImage((layer(1),), label=str(self.builds))}


@dataclass
class Stage:
    """A round's surroundings; `ready` is what the cluster makes of a workload."""

    told: Told
    engine: Builder
    server: ApiServer
    rounds: Rounds

    @property
    def image(self) -> str:
        return str(self.server.objects[PLACE]["spec"]["template"]["spec"]["containers"][0]["image"])


def settled(manifest: dict[str, Any]) -> dict[str, Any]:
    """What a cluster makes of a Deployment at once."""
    return {**manifest, "status": {"replicas": 1, "readyReplicas": 1, "updatedReplicas": 1, "observedGeneration": 1}}


@pytest.fixture
def entry(tmp_path: Path) -> FromBuild:
    return FromBuild(WEB, tmp_path, sync=(SyncRule(paths={"site": "/site"}),))


@pytest.fixture
def stage(names: Names, server: ApiServer, registry: Simulator, entry: FromBuild) -> Stage:
    told, engine = Told(), Builder(entry.engine_name)
    server.admit = settled
    push = PushStep(cast("Engine", engine), LockFile(entry.context / "images.yaml", (entry,)), registry.url)
    images = ImageNames(prefix="localhost:1", url=registry.url, brought=(Brought(WEB, built=True),))
    apply = ApplyStep(names, (DEPLOYMENT, SETTINGS), images, requires=())
    return Stage(told, engine, server, Rounds(push, None, apply, told))


def test_a_changed_image_is_built_pushed_applied_and_waited_for(stage: Stage, entry: FromBuild) -> None:
    assert not stage.rounds.run(DevWork(images=(entry,)))
    first = stage.image
    stage.told.phases.clear()
    assert not stage.rounds.run(DevWork(images=(entry,)))
    assert first.startswith("localhost:1/web:dev@sha256:")
    assert stage.image != first
    assert stage.told.phases == [
        "build web:dev",
        "push web:dev 0.0 MB",
        "apply  2 objects",
        "roll-out Deployment default/web",
    ]
    stage.told.phases.clear()
    stage.rounds.run(DevWork(manifests=True))
    assert stage.told.phases == [], "nothing changed"
    done = list[str]()
    ports = Mock(title="Ports of Services", check=lambda: Status(State.ABSENT), apply=lambda work: done.append("ports"))
    ports.name = "ports"
    replace(stage.rounds, following=[ports]).run(DevWork(images=(entry,)))
    assert (done, stage.told.phases[-1]) == (["ports"], "ports Ports of Services")


@pytest.mark.fault(86)
def test_other_image_goes_on_after_a_failed_build(
    stage: Stage, entry: FromBuild, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """RUN false in a Dockerfile while `dev` works → the build's last lines; what ran before still runs."""
    broken = FromBuild(parse("broken:dev"), tmp_path / "broken")
    broken.context.mkdir()
    stage.rounds.run(DevWork(images=(entry,)))
    before, build = stage.image, stage.engine.build

    def build_or_fail(context: Path, tag: str) -> None:
        stage.engine.fails = context == broken.context
        build(context, tag)

    monkeypatch.setattr(stage.engine, "build", build_or_fail)
    assert stage.rounds.run(DevWork(images=(broken,))) == DevWork(images=(broken,))
    assert stage.image == before
    assert stage.rounds.run(DevWork(images=(broken, entry))) == DevWork(images=(broken,))
    assert stage.image != before
    assert ["RUN false" in error.details for error in stage.told.errors] == [True, True]


def test_container_that_began_again_gets_a_new_image(
    stage: Stage, entry: FromBuild, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It began with its image, without the files that were copied earlier."""
    stage.rounds.run(DevWork(images=(entry,)))
    sync_by(monkeypatch, lambda *_, **__: Executed(0, b"", ""), stage.server, stage.image)
    work = DevWork(copied=(Copied(entry, {entry.context / "a": "/site/a"}, entry.sync),))
    for container, builds in (("1", 1), ("1", 1), ("2", 2)):
        pod = stage.server.objects["/api/v1/namespaces/default/pods/web-1"]
        pod["status"]["containerStatuses"][0]["containerID"] = container
        stage.rounds.run(work)
        assert stage.engine.builds == builds


@pytest.mark.parametrize(("more", "loaded"), [({}, False), ({"run": ("reload",)}, True), ({"restart": True}, True)])
def test_copied_files_are_loaded_only_where_a_rule_says_how(
    stage: Stage, entry: FromBuild, monkeypatch: pytest.MonkeyPatch, more: dict[str, Any], loaded: bool
) -> None:
    stage.rounds.run(DevWork(images=(entry,)))
    sync_by(monkeypatch, lambda *_, **__: Executed(0, b"", ""), stage.server, stage.image)
    monkeypatch.setattr(container_sync, "copy", lambda *_: None)
    rule = SyncRule(paths={"site": "/site"}, **more)
    stage.rounds.run(DevWork(copied=(Copied(entry, {entry.context / "a": "/site/a"}, (rule,)),)))
    assert stage.rounds.loaded is loaded


def sync_by(monkeypatch: pytest.MonkeyPatch, answer: Callable[..., Executed], server: ApiServer, image: str) -> None:
    monkeypatch.setattr(container_sync, "execute", answer)
    server.objects["/api/v1/namespaces/default/pods/web-1"] = {
        "kind": "Pod",
        "metadata": {"name": "web-1", "namespace": "default"},
        "spec": {"containers": [{"name": "web", "image": image}]},
        "status": {"containerStatuses": [{"name": "web", "state": {"running": {}}}]},
    }


def test_copied_files_need_no_build_until_the_manifests_change(
    stage: Stage, entry: FromBuild, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage.rounds.run(DevWork(images=(entry,)))
    page = entry.context / "index.html"
    page.write_text("1", encoding="utf-8")
    sync_by(monkeypatch, lambda *_, **__: Executed(0, b"", ""), stage.server, stage.image)
    stage.told.phases.clear()
    stage.rounds.run(DevWork(copied=(Copied(entry, {page: "/site/index.html"}, entry.sync),)))
    assert stage.told.phases == ["sync web:dev 1 file into 1 container"]
    stage.rounds.run(DevWork(manifests=True))  # new pods would begin without the file
    assert stage.told.phases[1] == "build web:dev"
    assert stage.engine.builds == 2
    pod = stage.server.objects["/api/v1/namespaces/default/pods/web-1"]
    pod["status"]["containerStatuses"][0]["containerID"] = "2"  # of the roll-out, with the file in its image
    stage.told.phases.clear()
    stage.rounds.run(DevWork(copied=(Copied(entry, {page: "/site/index.html"}, entry.sync),)))
    assert stage.told.phases == ["sync web:dev 1 file into 1 container"]


@pytest.mark.parametrize("runs", [True, False])
def test_files_that_cannot_be_copied_are_built(
    stage: Stage, entry: FromBuild, monkeypatch: pytest.MonkeyPatch, runs: bool
) -> None:
    stage.rounds.run(DevWork(images=(entry,)))
    if runs:
        sync_by(monkeypatch, lambda *_, **__: Executed(127, b"", "tar: not found"), stage.server, stage.image)
    page = entry.context / "index.html"
    page.write_text("1", encoding="utf-8")
    stage.rounds.run(DevWork(copied=(Copied(entry, {page: "/site/index.html"}, entry.sync),)))
    assert [error.details for error in stage.told.errors] == (["tar: not found"] if runs else [])
    assert stage.engine.builds == 2


def test_image_is_built_instead_with_those_made_from_it(stage: Stage, entry: FromBuild, tmp_path: Path) -> None:
    """Files cannot be copied, so the image is built: what is made from it would have the files from before."""
    top = FromBuild(parse("top:dev"), tmp_path / "top")
    top.context.mkdir()
    (top.context / "Dockerfile").write_text("FROM web:dev\n")
    assert stage.rounds.push
    push = replace(stage.rounds.push, images=replace(stage.rounds.push.images, entries=(top, entry)))
    stage.engine.fails = True
    left = replace(stage.rounds, push=push).run(DevWork(copied=(Copied(entry, {tmp_path / "a": "/a"}, ()),)))
    assert [str(each.target) for each in left.images] == ["web:dev", "top:dev"]
    assert [error.brief for error in stage.told.errors] == ["building web:dev failed"]


def test_dev_restarts_pods_once_and_stops_waiting_when_a_file_is_saved(
    names: Names, server: ApiServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise each `dev` would replace the pods twice; a saved file counts at once, also while a pod crashes."""
    monkeypatch.setattr(ImageNames, "require", lambda *_: None)  # no registry is asked
    engine = cast("Engine", FakeEngine({"web:dev": TestImage((layer(1),))}))
    rule = SyncRule(paths={"src": "/app"}, restart=True)
    entry = FromBuild(WEB, tmp_path, sync=(rule,))
    push = PushStep(engine, LockFile(tmp_path / "images.yaml", (entry,)), "http://localhost:1")
    spec = {"containers": [{"name": "web", "image": f"localhost:1/web:dev@sha256:{'0' * 64}", "command": ["/web"]}]}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web"}, "spec": spec}
    plain = ApplyStep(names, (pod,), ImageNames(prefix="localhost:1", url="http://localhost:1"), requires=())
    changed = True
    _, step = prepared((push, plain), lambda: changed)
    assert isinstance(step, ApplyStep)
    with pytest.raises(Overtaken):  # the pod is never ready
        step.apply(NoWork())
    assert replace(step, overtaken=lambda: False).check().state is State.DRIFTED

    def running(manifest: dict[str, Any]) -> dict[str, Any]:
        return {**manifest, "status": {"conditions": [{"type": "Ready", "status": "True"}]}}

    changed, server.admit = False, running
    step.apply(NoWork())
    assert restart.is_supervised(server.objects[POD]["spec"]["containers"][0])
    assert step.check().state is State.READY
    assert plain.check().state is State.DRIFTED, "`up` takes the shell out"


def test_charts_of_dev_restart_programs_of_images_that_were_built_after_the_plan(names: Names, tmp_path: Path) -> None:
    config: dict[str, Any] = {}
    engine = cast("Engine", Mock(inspect_image=lambda _: {"Config": config}))
    entry = FromBuild(WEB, tmp_path, sync=(SyncRule(paths={"src": "/app"}, restart=True),))
    push = PushStep(engine, LockFile(tmp_path / "images.yaml", (entry,)), "http://localhost:1")
    images = ImageNames(prefix="localhost:1", url="http://localhost:1")
    chart = cast("Chart", SimpleNamespace(name="web"))
    plain = ChartsStep(names, (chart,), images, requires=())
    _, step = prepared((push, plain), lambda: False)
    config["Entrypoint"] = ["/web"]
    assert isinstance(step, ChartsStep)
    assert step.programs()["localhost:1/web:dev"].entrypoint == ("/web",)
