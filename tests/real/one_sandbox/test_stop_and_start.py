"""A sandbox stopped and up again: nothing of it runs, nothing of it is lost, and its name is all that it takes."""

from __future__ import annotations

import json
import re
import signal

import pytest

from sandbox.engine import Engine, labelled
from sandbox.names import LABEL
from sandbox.system.wait import wait_until
from tests.real import machine
from tests.real.application import Application
from tests.real.daemon import Daemon
from tests.real.machine import Ran, tool

pytestmark = pytest.mark.real


def running(engine: Engine, up: Application) -> set[str]:
    found = (
        *engine.containers(f"{LABEL}={up.name}"),
        *engine.containers(f"io.x-k8s.kind.cluster={up.names.cluster}"),
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


def test_containers_start_with_engine_unless_stopped(engine: Engine, up: Application) -> None:
    for name in (*running(engine, up), labelled.edge(engine, up.names.home)):
        policy = tool("docker", "inspect", "--format", "{{.HostConfig.RestartPolicy.Name}}", name).strip()
        assert policy == "unless-stopped", name


@pytest.mark.fault(21, 57)
@pytest.mark.nightly
def test_paused_containers_are_resumed(engine: Engine, up: Application) -> None:
    """`docker pause` of a node and the registry → `up` lets them go on, and all is as it was"""
    nodes = running(engine, up)
    for name in nodes:
        engine.pause(name)
    assert up.command.steps()["cluster"][0] == "drifted"
    up.command("up")
    assert running(engine, up) == nodes
    assert up.page() == "first"


def test_stopped_it_runs_nothing_and_says_so(engine: Engine, up: Application) -> None:
    up.store("kept")
    up.command("stop")
    assert running(engine, up) == set()
    (row,) = [one for one in json.loads(up.command("list", "-o", "json").out) if one["name"] == up.name]
    assert row["cluster"] == "stopped"
    steps = up.command.steps()
    assert steps["cluster"] == ("drifted", f"stopped; sandbox start {up.name}")
    assert steps["https"][0] == "unseen"
    assert "was not running" in up.elsewhere("stop", up.name).err
    for change in ("enable", "disable"):
        assert f"sandbox start {up.name}" in up.command("addons", change, "metrics-server", status=1).err
    plan = json.loads(up.command("up", "--plan", "--check", "-o", "json", status=1).out)
    assert {one["step"]: one["action"] for one in plan["steps"]}["cluster"] == "repair"
    assert running(engine, up) == set(), "a plan starts nothing"


def test_stopped_hosts_end_at_once_and_the_edge_serves_on(up: Application) -> None:
    with pytest.raises(AssertionError, match=r"curl: \(35\)|curl: \(56\)|reset|closed"):
        up.page()
    servers = json.loads(up.command("edge", "status", "-o", "json", status=None).out)
    assert up.name in json.dumps(servers)


@pytest.mark.fault(26)
def test_start_by_name_restores_the_sandbox(engine: Engine, up: Application) -> None:
    """The node is stopped and started → `start NAME`, from anywhere, ends when the hosts are answered"""
    ran = up.elsewhere("start", up.name)
    assert f"https://app.{up.name}.sandbox.localhost" in ran.out
    assert up.page() == "kept"
    assert "configmap/mine" in up.kubectl("get", "configmaps", "--output=name")
    assert {state for state, _ in up.command.steps().values()} == {"ready"}
    assert up.command("up", "--plan").out == ""


@pytest.mark.nightly
@pytest.mark.fault(26)
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_sandbox_survives_an_engine_restart(engine: Engine, up: Application, number: signal.Signals) -> None:
    """The engine ends and starts again, as by a reboot → hosts are served again; killed outright → `up` is enough"""
    shared = {one.name for one in labelled.containers(engine, up.names.home) if one.labels[LABEL] == ""}
    before = running(engine, up) | shared
    daemon = Daemon.with_only(before)
    up.store(number.name)
    again = daemon.restart(number)

    def unserved() -> str | None:
        try:
            return None if up.page() == number.name else "another page"
        except AssertionError as error:
            return str(error)

    # One that was killed finds its containers running, ends them, and takes that for their owner's will.
    if number is signal.SIGTERM:
        wait_until(unserved, what="the page, without a command", timeout=300)
    up.command("up")
    steps = up.command.steps()
    assert {state for state, _ in steps.values()} == {"ready"}
    assert steps["wiring"][1].startswith("wired, canary")
    assert running(again, up) | shared == before
    assert up.page() == number.name
    assert up.command("up", "--plan").out == ""


@pytest.mark.nightly
@pytest.mark.fault(27)
def test_lost_cluster_is_told_before_a_new_one(up: Application) -> None:
    """The node of a stopped sandbox is removed → `start` and `up` say what is lost, and --yes makes a new cluster"""
    up.command("stop")
    tool("docker", "rm", "--force", "--volumes", up.names.node)
    assert up.command.steps()["cluster"] == ("absent", "its nodes were removed, not by sandbox")
    for command in ("start", "up"):
        assert "all that its pods stored" in up.command(command, status=2).err
    up.command("up", "--yes")
    assert up.page() == "first"
    assert {state for state, _ in up.command.steps().values()} == {"ready"}


@pytest.mark.nightly
def test_node_with_process_ignoring_sigterm_stops_in_time(engine: Engine, up: Application) -> None:
    """A process is held still by the freezer, as by an engine that was ended in the middle → `down` lets it go."""
    if engine.facts().cgroup_version != 1:
        machine.leave_out("held still by cgroup v2 a process can be killed")
    hold = (
        "mkdir /sys/fs/cgroup/freezer/held && cd /sys/fs/cgroup/freezer/held; "
        "sleep 900 & echo $! > cgroup.procs && echo FROZEN > freezer.state"
    )
    tool("docker", "exec", "--detach", up.names.node, "bash", "-c", hold)
    wait_until(lambda: None if held(up) else "not held", what="the process", timeout=20)
    up.command("down")
    assert running(engine, up) == set()
    up.command("up")
    assert up.page() == "first"


def held(up: Application) -> bool:
    state = "/sys/fs/cgroup/freezer/held/freezer.state"
    return "FROZEN" in tool("docker", "exec", up.names.node, "cat", state, status=None)


def test_start_of_an_absent_sandbox_is_refused(up: Application) -> None:
    ran = up.elsewhere("start", "lasting-nosuch", status=2)
    assert "there is no sandbox 'lasting-nosuch'" in ran.err and "fix:" in ran.err
