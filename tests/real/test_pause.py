"""A sandbox at rest and up again: nothing of it runs, nothing of it is lost, and its name is all that it takes."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from sandbox.host.engine import Engine
from sandbox.names import EDGE, LABEL
from tests.real import machine
from tests.real.application import Application
from tests.real.machine import tool

pytestmark = pytest.mark.real


@pytest.fixture(scope="module")
def engine() -> Engine:
    return machine.engine()


@pytest.fixture(scope="module")
def app(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Application]:
    made = Application.free("test-pause", tmp_path_factory.mktemp("pause"))
    made.write()
    try:
        made.command("up")
        yield made
    finally:
        made.command("down", "--purge", status=None)


def running(engine: Engine, app: Application) -> set[str]:
    """The containers of the sandbox that run."""
    found = (
        *engine.containers(f"{LABEL}={app.name}"),
        *engine.containers(f"io.x-k8s.kind.cluster={app.names.cluster}"),
    )
    return {one.name for one in found if one.running}


def test_every_container_starts_with_the_engine_unless_it_was_stopped(engine: Engine, app: Application) -> None:
    for name in (*running(engine, app), EDGE):
        policy = tool("docker", "inspect", "--format", "{{.HostConfig.RestartPolicy.Name}}", name).strip()
        assert policy == "unless-stopped", name


@pytest.mark.fault(21, 57)
def test_what_was_held_still_goes_on(engine: Engine, app: Application) -> None:
    """`docker pause` of a node and the registry → `up` lets them go on, and all is as it was"""
    nodes = running(engine, app)
    for name in nodes:
        engine.pause(name)
    assert app.steps()["cluster"][0] == "drifted"
    app.command("up")
    assert running(engine, app) == nodes
    assert app.page() == "first"


def test_stopped_it_runs_nothing_and_says_so(engine: Engine, app: Application) -> None:
    app.store("kept")
    app.command("stop")
    assert running(engine, app) == set()
    (row,) = [one for one in json.loads(app.command("list", "-o", "json").out) if one["name"] == app.name]
    assert row["cluster"] == "stopped"
    steps = app.steps()
    assert steps["cluster"] == ("drifted", f"stopped; sandbox start {app.name}")
    assert steps["https"][0] == "unseen"
    assert "nothing of sandbox" in app.elsewhere("stop", app.name).err
    plan = json.loads(app.command("up", "--plan", "-o", "json", status=2).out)
    assert {one["step"]: one["action"] for one in plan["steps"]}["cluster"] == "repair"
    assert running(engine, app) == set(), "a plan starts nothing"


def test_its_hosts_end_at_once_and_the_edge_serves_on(app: Application) -> None:
    with pytest.raises(AssertionError, match=r"curl: \(35\)|curl: \(56\)|reset|closed"):
        app.page()
    servers = json.loads(app.command("proxy", "status", "-o", "json", status=None).out)
    assert app.name in json.dumps(servers)


@pytest.mark.fault(26)
def test_started_by_its_name_alone_it_is_as_it_was(engine: Engine, app: Application) -> None:
    """The node is stopped and started → `start NAME`, from anywhere, ends when the hosts are answered"""
    ran = app.elsewhere("start", app.name)
    assert f"https://app.{app.name}.sandbox.localhost" in ran.out
    assert app.page() == "kept"
    assert {state for state, _ in app.steps().values()} == {"ready"}
    assert app.command("up", "--plan").out == ""


def test_what_is_not_there_cannot_be_started(app: Application) -> None:
    ran = app.elsewhere("start", "test-pause-nobody", status=2)
    assert "there is no sandbox 'test-pause-nobody'" in ran.err and "fix:" in ran.err
