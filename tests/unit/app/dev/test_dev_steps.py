"""The plan of a sandbox as `dev` takes it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from sandbox.app.dev import rounds
from sandbox.components.workloads import restart
from sandbox.components.workloads.image_names import ImageNames
from sandbox.components.workloads.step import ApplyStep
from sandbox.engine import Engine
from sandbox.images.images_yaml import FromBuild
from sandbox.images.lockfile import LockFile
from sandbox.images.push_step import PushStep
from sandbox.images.sync_rules import SyncRule
from sandbox.names import Names
from sandbox.oci.reference import parse_target
from sandbox.step import Overtaken, State
from tests.support.api_server import ApiServer
from tests.support.fakes import NoWork
from tests.support.images import FakeEngine, TestImage, layer

PLACE = "/api/v1/namespaces/default/pods/web"


def pod() -> dict[str, Any]:
    image = f"localhost:1/web:dev@sha256:{'0' * 64}"
    spec = {"containers": [{"name": "web", "image": image, "command": ["/web"]}]}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web"}, "spec": spec}


class Stage:
    """A plan of one image with a `restart` rule and one pod; files have `changed` meanwhile."""

    def __init__(self, names: Names, folder: Path) -> None:
        rule = SyncRule(paths={"src": "/app"}, restart=True)
        engine = cast("Engine", FakeEngine({"web:dev": TestImage((layer(1),))}))
        entry = FromBuild(parse_target("web:dev"), folder, sync=(rule,))
        push = PushStep(engine, LockFile(folder / "images.yaml", (entry,)), "http://localhost:1")
        images = ImageNames(prefix="localhost:1", url="http://localhost:1")
        self.plain = ApplyStep(names, (pod(),), images, requires=())
        self.changed = False
        _, taken = rounds.prepared((push, self.plain), lambda: self.changed)
        assert isinstance(taken, ApplyStep)
        self.taken = taken


@pytest.fixture
def stage(names: Names, server: ApiServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stage:
    monkeypatch.setattr(ImageNames, "require", lambda *_: None)  # no registry is asked

    def running(manifest: dict[str, Any]) -> dict[str, Any]:
        return {**manifest, "status": {"conditions": [{"type": "Ready", "status": "True"}]}}

    server.admit = running
    return Stage(names, tmp_path)


def test_shell_is_there_from_the_first_roll_out_on(stage: Stage, server: ApiServer) -> None:
    """Otherwise each `dev` would replace the pods twice; `up` finds that it is to be taken out."""
    stage.taken.apply(NoWork())
    assert restart.is_supervised(server.objects[PLACE]["spec"]["containers"][0])
    assert stage.taken.check().state is State.READY
    assert stage.plain.check().state is State.DRIFTED


def test_pods_are_not_waited_for_after_another_change(stage: Stage, server: ApiServer) -> None:
    """A pod that crashes while `dev` brings all up: a saved file counts at once, and not when the wait is over."""
    server.admit = lambda manifest: manifest  # and never ready
    stage.changed = True
    with pytest.raises(Overtaken):
        stage.taken.apply(NoWork())
    assert PLACE in server.objects
    assert replace(stage.taken, overtaken=lambda: False).check().state is State.DRIFTED
