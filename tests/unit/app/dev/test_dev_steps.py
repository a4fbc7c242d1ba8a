"""The plan of a sandbox as `dev` takes it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast
from unittest.mock import Mock

import pytest

from sandbox.app.dev import rounds
from sandbox.components.workloads import restart
from sandbox.components.workloads.charts_step import ChartsStep
from sandbox.components.workloads.image_names import ImageNames
from sandbox.components.workloads.step import ApplyStep
from sandbox.config.schema import Chart
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


def test_dev_restarts_pods_once_and_stops_waiting_when_a_file_is_saved(
    names: Names, server: ApiServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise each `dev` would replace the pods twice; a saved file counts at once, also while a pod crashes."""
    monkeypatch.setattr(ImageNames, "require", lambda *_: None)  # no registry is asked
    engine = cast("Engine", FakeEngine({"web:dev": TestImage((layer(1),))}))
    rule = SyncRule(paths={"src": "/app"}, restart=True)
    entry = FromBuild(parse_target("web:dev"), tmp_path, sync=(rule,))
    push = PushStep(engine, LockFile(tmp_path / "images.yaml", (entry,)), "http://localhost:1")
    spec = {"containers": [{"name": "web", "image": f"localhost:1/web:dev@sha256:{'0' * 64}", "command": ["/web"]}]}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web"}, "spec": spec}
    plain = ApplyStep(names, (pod,), ImageNames(prefix="localhost:1", url="http://localhost:1"), requires=())
    changed = True
    _, step = rounds.prepared((push, plain), lambda: changed)
    assert isinstance(step, ApplyStep)
    with pytest.raises(Overtaken):  # the pod is never ready
        step.apply(NoWork())
    assert replace(step, overtaken=lambda: False).check().state is State.DRIFTED

    def running(manifest: dict[str, Any]) -> dict[str, Any]:
        return {**manifest, "status": {"conditions": [{"type": "Ready", "status": "True"}]}}

    changed, server.admit = False, running
    step.apply(NoWork())
    assert restart.is_supervised(server.objects[PLACE]["spec"]["containers"][0])
    assert step.check().state is State.READY
    assert plain.check().state is State.DRIFTED, "`up` takes the shell out"


def test_charts_of_dev_restart_programs_of_images_that_were_built_after_the_plan(names: Names, tmp_path: Path) -> None:
    config: dict[str, Any] = {}
    engine = cast("Engine", Mock(inspect_image=lambda _: {"Config": config}))
    entry = FromBuild(parse_target("web:dev"), tmp_path, sync=(SyncRule(paths={"src": "/app"}, restart=True),))
    push = PushStep(engine, LockFile(tmp_path / "images.yaml", (entry,)), "http://localhost:1")
    images = ImageNames(prefix="localhost:1", url="http://localhost:1")
    chart = cast("Chart", SimpleNamespace(name="web"))
    plain = ChartsStep(names, (chart,), cast("Any", None), images, cast("Any", None), requires=())
    _, step = rounds.prepared((push, plain), lambda: False)
    config["Entrypoint"] = ["/web"]
    assert isinstance(step, ChartsStep)
    assert step.programs()["localhost:1/web:dev"].entrypoint == ("/web",)
