"""Which sandboxes there are, as far as this user's folders and the engine tell."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import pytest

from sandbox.app import context
from sandbox.app.views import known_sandboxes
from sandbox.components.edge import routes
from sandbox.components.edge.route import Route
from sandbox.config.schema.origin_schema import Origin
from sandbox.engine import ContainerSpec, Engine
from sandbox.engine.base import EngineError
from sandbox.errors import SandboxError, UsageError
from sandbox.names import LABEL, OWNER
from sandbox.plan import saved_spec
from tests.support.fakes import FakeEngine
from tests.support.repositories import made


@pytest.fixture
def engine(isolated_home: object, monkeypatch: pytest.MonkeyPatch) -> FakeEngine:
    engine = FakeEngine("i:1")
    monkeypatch.setattr(Engine, "connect", lambda: engine)
    engine.create_network("net", {})
    return engine


def add(engine: FakeEngine, name: str, labels: Mapping[str, str]) -> None:
    engine.run(ContainerSpec(name=name, image="i:1", command=("i",), network="net", labels=labels))


def test_unknown_name_is_refused_unless_the_engine_is_silent(
    isolated_home: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(known_sandboxes, "sandboxes", lambda: (known_sandboxes.Known("demo", "running", "demo.test"),))
    known_sandboxes.require_known("demo")
    with pytest.raises(UsageError, match="there is no sandbox 'nosuch'"):
        known_sandboxes.require_known("nosuch")
    context.home().sandbox("nosuch").folder.mkdir(parents=True)
    known_sandboxes.require_known("nosuch")

    def silent() -> tuple[known_sandboxes.Known, ...]:
        raise EngineError("no Docker Engine answers")

    monkeypatch.setattr(known_sandboxes, "sandboxes", silent)
    known_sandboxes.require_known("other")


def test_sandboxes_are_known_by_own_containers_and_routes(engine: FakeEngine) -> None:
    for name in ("up", "stopped", "gone"):
        add(engine, f"{name}-registry", {**context.home().labels, LABEL: name})
    for name in ("up", "stopped"):  # kind gives its nodes no label of the sandbox
        add(engine, context.home().sandbox(name).node, {})
    engine.stop(context.home().sandbox("stopped").node)
    add(engine, "another", {LABEL: "theirs", OWNER: "who:0:/elsewhere"})
    routes.save(context.home().edge, Route("routed", "routed.test", "node", (("127.0.0.1", 443),)))
    found = [(one.name, one.cluster, one.domain) for one in known_sandboxes.sandboxes()]
    assert found == [
        ("gone", "absent", ""),
        ("routed", "absent", "routed.test"),
        ("stopped", "stopped", ""),
        ("up", "running", ""),
    ]


def test_list_names_a_damaged_route_file(engine: FakeEngine) -> None:
    folder = context.home().edge / "routes"
    folder.mkdir(parents=True)
    (folder / "demo.json").write_text("{")
    with pytest.raises(SandboxError, match=r"demo\.json is not a route") as caught:
        known_sandboxes.sandboxes()
    assert caught.value.id == "route" and "sandbox up" in caught.value.fix


def test_list_has_folder_branch_and_memory_of_each_sandbox(engine: FakeEngine, tmp_path: Path) -> None:
    home = context.home()
    made(tmp_path / "shop", {"sandbox.yaml": ""})
    for name in ("shop", "lost"):
        names = home.sandbox(name)
        add(engine, names.node, {"io.x-k8s.kind.cluster": names.cluster})
        add(engine, names.registry, names.labels)
        saved_spec.record_origin(names, Origin.of(tmp_path / name / "sandbox.yaml"))
    engine.stop(home.sandbox("lost").node)
    lost, shop = known_sandboxes.sandboxes()
    assert (shop.folder, shop.branch, shop.gone) == (str(tmp_path / "shop"), "main", False)
    assert (lost.folder, lost.branch, lost.gone) == (str(tmp_path / "lost"), "", True)
    assert shop.memory == 2 * lost.memory > 0
    saved_spec.record_origin(home.sandbox("lost"), Origin.of(tmp_path / ("x" * 300) / "sandbox.yaml"))
    assert not known_sandboxes.sandboxes()[0].gone, "the system gives another error than that it is not there"


@pytest.mark.fault(60)
def test_command_for_a_sandbox_that_is_not_up_starts_it(engine: FakeEngine) -> None:
    """A command that needs the cluster of a sandbox that has none → says so, and what makes one."""
    gone = known_sandboxes.not_up("gone", "")
    assert (gone.brief, gone.fix, gone.id) == ("the sandbox 'gone' is not up", "sandbox up gone", "not-up")


def test_list_says_which_sandboxes_are_on_another_engine(engine: FakeEngine) -> None:
    """DOCKER_HOST names another engine than the last `up` had → `list` has `elsewhere`, not `absent`."""
    for name, place in (("here", os.environ["DOCKER_HOST"]), ("there", "unix:///there.sock")):
        saved_spec.record_engine(context.home().sandbox(name), {"id": name, "address": place})
        routes.save(context.home().edge, Route(name, f"{name}.test", "node", (("127.0.0.1", 443),)))
    found = [(each.name, each.cluster) for each in known_sandboxes.sandboxes()]
    assert found == [("here", "absent"), ("there", "elsewhere")]


@pytest.mark.parametrize(
    ("saved", "node"),
    [
        (None, "sandbox-demo-control-plane"),
        ("{", "sandbox-demo-control-plane"),
        ('{"cluster": {"provider": "minikube", "profile": null}}', "sandbox-demo"),
        ('{"cluster": {"provider": "minikube", "profile": "mine"}}', "mine"),
        ('{"cluster": {"provider": "existing"}}', None),
    ],
)
def test_control_plane_is_known_by_the_saved_spec(isolated_home: object, saved: str | None, node: str | None) -> None:
    names = context.home().sandbox("demo")
    if saved is not None:
        names.folder.mkdir(parents=True)
        names.spec.write_text(saved, encoding="utf-8")
    assert saved_spec.control_plane(names) == node
