"""A sandbox held still: clients notice no more than a moment at the first answer."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from sandbox.engine import Engine
from sandbox.kube import api_transport
from sandbox.kube.api import Cluster
from sandbox.system.wait import wait_until
from tests.real.application import Application
from tests.real.machine import tool

pytestmark = [pytest.mark.real, pytest.mark.nightly]


def standing(up: Application) -> str:
    """How `list` says that the cluster stands."""
    (found,) = [one for one in json.loads(up.elsewhere("list", "-o", "json").out) if one["name"] == up.name]
    return str(found["cluster"])


def unwell(cluster: Cluster) -> list[tuple[str, str]]:
    """What happens to nodes and pods that were taken for lost."""
    reasons = {"NodeNotReady", "TaintManagerEviction", "Evicted"}
    events = cluster.list("v1", "Event")
    return sorted((one["reason"], one["metadata"]["name"]) for one in events if one["reason"] in reasons)


@contextmanager
def asleep(engine: Engine, up: Application, *, seconds: float) -> Iterator[None]:
    """The sandbox, held still for so long; awake and well afterwards."""
    cluster = Cluster(up.names.kubeconfig)
    before, pods = unwell(cluster), restarts(cluster)
    up.command("pause")
    found = engine.container(up.names.node)
    assert found and found.paused and standing(up) == "paused"
    time.sleep(seconds)
    yield
    wait_until(lambda: None if standing(up) == "running" else "paused", what="the sandbox", timeout=10)
    wait_until(lambda: _stopped(up), what="the controllers", timeout=30)
    assert (unwell(cluster), restarts(cluster)) == (before, pods)


def restarts(cluster: Cluster) -> dict[str, int]:
    """Each pod of the application with how often its containers were started again."""
    return {
        one["metadata"]["name"]: sum(each["restartCount"] for each in one["status"]["containerStatuses"])
        for one in cluster.list("v1", "Pod", "default")
    }


def _stopped(up: Application) -> str | None:
    state = tool("docker", "exec", up.names.node, "ps", "-o", "stat=", "-C", "kube-controller").strip()
    return "stopped" if state.startswith("T") else None


def test_the_next_client_wakes_a_sandbox(engine: Engine, up: Application) -> None:
    said = up.page()
    with asleep(engine, up, seconds=5):
        assert up.page() == said


def test_kubectl_wakes_a_sandbox(engine: Engine, up: Application) -> None:
    with asleep(engine, up, seconds=5):
        assert up.kubectl("get", "namespaces", "-o", "name")


def test_a_command_wakes_a_sandbox(engine: Engine, up: Application) -> None:
    up.command("up")  # the page for unknown hosts lists what other tests have left
    with asleep(engine, up, seconds=5):
        assert {name: state for name, state in up.command.steps().items() if state[0] != "ready"} == {}


@pytest.mark.nightly
@pytest.mark.timeout(400)
def test_long_sleep_costs_no_pod_its_place(engine: Engine, up: Application) -> None:
    """Longer than a node may say nothing (50 s), and a lease may be held."""
    said = up.page()
    with asleep(engine, up, seconds=90):
        assert up.page() == said
    wait_until(lambda: None if up.page() == said else "no page", what="the page", timeout=20)


@pytest.mark.nightly
@pytest.mark.timeout(400)
def test_a_sandbox_that_is_not_used_is_paused_by_itself(engine: Engine, up: Application) -> None:
    """`pause_after: 1m` → paused a minute after its last client, woken by the next; without it, never again."""
    api_transport.connect.cache_clear()  # what this process has open to the API server counts too
    spec = up.folder / "sandbox.yaml"
    before = spec.read_text(encoding="utf-8")
    spec.write_text(before + "pause_after: 1m\n", encoding="utf-8")
    try:
        up.command("up")
        wait_until(lambda: None if standing(up) == "paused" else "running", what="the sandbox", timeout=100)
        assert up.page()
        assert up.names.waker.exists()
    finally:
        spec.write_text(before, encoding="utf-8")
        up.command("up")
    assert not up.names.waker.exists()
