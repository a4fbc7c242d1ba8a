"""A sandbox stopped and up again: nothing of it runs, nothing of it is lost, and its name is all that it takes."""

from __future__ import annotations

import json
import re
import signal
from collections.abc import Iterator

import pytest

from sandbox.engine import Engine
from sandbox.names import EDGE, LABEL
from sandbox.system.wait import wait_until
from tests.real import machine
from tests.real.application import Application
from tests.real.daemon import Daemon
from tests.real.machine import Ran, tool

pytestmark = pytest.mark.real


@pytest.fixture(scope="module")
def engine() -> Engine:
    return machine.engine()


@pytest.fixture(scope="module")
def fresh(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Application, Ran]]:
    """The sandbox, with an addon of its own, and what was said while it was made."""
    made = Application.free("test-pause", tmp_path_factory.mktemp("pause"))
    addon = made.folder / "mine"
    addon.mkdir()
    (addon / "addon.yaml").write_text("title: a setting\n")
    (addon / "setting.yaml").write_text("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: mine, namespace: default}\n")
    made.write(addons=["./mine"])
    try:
        yield made, made.command("up", "--progress", "json")
    finally:
        made.command("down", "--purge", status=None)


@pytest.fixture(scope="module")
def app(fresh: tuple[Application, Ran]) -> Application:
    return fresh[0]


def running(engine: Engine, app: Application) -> set[str]:
    """The containers of the sandbox that run."""
    found = (
        *engine.containers(f"{LABEL}={app.name}"),
        *engine.containers(f"io.x-k8s.kind.cluster={app.names.cluster}"),
    )
    return {one.name for one in found if one.running}


def test_a_good_up_tells_of_every_step_once_and_of_no_trouble(fresh: tuple[Application, Ran]) -> None:
    _, ran = fresh
    events = [json.loads(line) for line in ran.err.splitlines()]
    assert {event["event"] for event in events} <= {"began", "progress", "finished", "unchanged"}
    ended = [event["step"] for event in events if event["event"] in ("finished", "unchanged")]
    assert len(ended) == len(set(ended)) > 10
    began = [event["step"] for event in events if event["event"] == "began"]
    assert len(began) == len(set(began)) and set(began) <= set(ended)
    assert [event["time"] for event in events] == sorted(event["time"] for event in events)
    assert not re.search("error|fail|warn|traceback", ran.out, re.IGNORECASE), ran.out


def test_containers_start_with_engine_unless_stopped(engine: Engine, app: Application) -> None:
    for name in (*running(engine, app), EDGE):
        policy = tool("docker", "inspect", "--format", "{{.HostConfig.RestartPolicy.Name}}", name).strip()
        assert policy == "unless-stopped", name


@pytest.mark.fault(21, 57)
def test_paused_containers_are_resumed(engine: Engine, app: Application) -> None:
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
    assert "was not running" in app.elsewhere("stop", app.name).err
    for change in ("enable", "disable"):
        assert "is not up" in app.command("addons", change, "metrics-server", status=1).err
    plan = json.loads(app.command("up", "--plan", "-o", "json", status=2).out)
    assert {one["step"]: one["action"] for one in plan["steps"]}["cluster"] == "repair"
    assert running(engine, app) == set(), "a plan starts nothing"


def test_stopped_hosts_end_at_once_and_the_edge_serves_on(app: Application) -> None:
    with pytest.raises(AssertionError, match=r"curl: \(35\)|curl: \(56\)|reset|closed"):
        app.page()
    servers = json.loads(app.command("proxy", "status", "-o", "json", status=None).out)
    assert app.name in json.dumps(servers)


@pytest.mark.fault(26)
def test_start_by_name_restores_the_sandbox(engine: Engine, app: Application) -> None:
    """The node is stopped and started → `start NAME`, from anywhere, ends when the hosts are answered"""
    ran = app.elsewhere("start", app.name)
    assert f"https://app.{app.name}.sandbox.localhost" in ran.out
    assert app.page() == "kept"
    assert "configmap/mine" in app.kubectl("get", "configmaps", "--output=name")
    assert {state for state, _ in app.steps().values()} == {"ready"}
    assert app.command("up", "--plan").out == ""


@pytest.mark.nightly
@pytest.mark.fault(26)
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_sandbox_survives_an_engine_restart(engine: Engine, app: Application, number: signal.Signals) -> None:
    """The engine ends and starts again, as by a reboot → hosts are served again; killed outright → `up` is enough"""
    shared = {one.name for one in engine.containers(LABEL) if one.labels[LABEL] == ""}
    before = running(engine, app) | shared
    daemon = Daemon.with_only(before)
    app.store(number.name)
    again = daemon.restart(number)

    def unserved() -> str | None:
        try:
            return None if app.page() == number.name else "another page"
        except AssertionError as error:
            return str(error)

    # One that was killed finds its containers running, ends them, and takes that for their owner's will.
    if number is signal.SIGTERM:
        wait_until(unserved, what="the page, without a command", timeout=300)
    app.command("up")
    steps = app.steps()
    assert {state for state, _ in steps.values()} == {"ready"}
    assert steps["wiring"][1].startswith("wired, canary")
    assert running(again, app) | shared == before
    assert app.page() == number.name
    assert app.command("up", "--plan").out == ""


@pytest.mark.nightly
@pytest.mark.fault(27)
def test_without_its_node_the_cluster_is_recreated(engine: Engine, app: Application) -> None:
    """The node is removed → `status` says so, `up` recreates the cluster from the files and the registry's data"""
    engine.remove_container(app.names.node)
    assert app.steps()["cluster"][0] == "absent"
    app.command("up")
    assert app.page() == "first"
    assert {state for state, _ in app.steps().values()} == {"ready"}


@pytest.mark.nightly
def test_node_with_process_ignoring_sigterm_stops_in_time(engine: Engine, app: Application) -> None:
    """A process is held still by the freezer, as by an engine that was ended in the middle → `down` lets it go."""
    if engine.cgroup_version() != 1:
        machine.leave_out("held still by cgroup v2 a process can be killed")
    hold = (
        "mkdir /sys/fs/cgroup/freezer/held && cd /sys/fs/cgroup/freezer/held; "
        "sleep 900 & echo $! > cgroup.procs && echo FROZEN > freezer.state"
    )
    tool("docker", "exec", "--detach", app.names.node, "bash", "-c", hold)
    wait_until(lambda: None if held(app) else "not held", what="the process", timeout=20)
    app.command("down")
    assert running(engine, app) == set()
    app.command("up")
    assert app.page() == "first"


def held(app: Application) -> bool:
    state = "/sys/fs/cgroup/freezer/held/freezer.state"
    return "FROZEN" in tool("docker", "exec", app.names.node, "cat", state, status=None)


def test_start_of_an_absent_sandbox_is_refused(app: Application) -> None:
    ran = app.elsewhere("start", "test-pause-nosuch", status=2)
    assert "there is no sandbox 'test-pause-nosuch'" in ran.err and "fix:" in ran.err
