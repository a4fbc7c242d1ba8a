"""What the doctor says of an engine by what it tells of itself."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from sandbox.config.schema import Cluster
from sandbox.doctor import engine_checks
from sandbox.doctor.check import Status
from sandbox.doctor.doctor_context import DoctorContext, EngineProbe
from sandbox.engine import connection


def told(context: DoctorContext, **changes: Any) -> DoctorContext:
    """The context with an engine that tells something else of itself."""
    assert isinstance(context.docker, EngineProbe)
    return replace(context, docker=replace(context.docker, facts=replace(context.docker.facts, **changes)))


def test_a_usual_engine_is_well(context: DoctorContext) -> None:
    assert {
        check.id: check.inspect(context).status for check in engine_checks.CHECKS if check.id != "engine.clock"
    } == {check.id: Status.OK for check in engine_checks.CHECKS if check.id != "engine.clock"}


@pytest.mark.fault(19, 60)
@pytest.mark.parametrize(
    ("look", "changes", "status", "words"),
    [
        (engine_checks.reachable, {"version": "4.3.1", "podman": True}, Status.OK, "Podman 4.3.1"),
        (engine_checks.reachable, {"podman": True, "rootless": True}, Status.ERROR, "rootless Podman"),
        (engine_checks.cgroups, {"cgroup_version": 1}, Status.WARN, "cgroup v1"),
        (engine_checks.resources, {"memory": 1 << 30}, Status.ERROR, "1.0 GiB"),
        (engine_checks.resources, {"memory": 3 << 30}, Status.WARN, "3.0 GiB"),
        (engine_checks.resources, {"cpus": 1}, Status.WARN, "1 CPUs"),
        (engine_checks.clock, {"time": None}, Status.SKIPPED, "does not report"),
        (engine_checks.proxy, {"proxies": {"http": "http://u:secret@proxy:3128"}}, Status.OK, "http via proxy, not"),
    ],
)
def test_engine_facts_are_shown(context: DoctorContext, look: Any, changes: Any, status: Status, words: str) -> None:
    """An engine with little memory, one CPU, cgroup v1, old, or elsewhere → a row of the doctor for each."""
    found = look(told(context, **changes))
    assert found.status is status and words in found.evidence and "secret" not in found.evidence


@pytest.mark.parametrize(("no", "status"), [("a", Status.WARN), ("a,.demo.sandbox.localhost", Status.OK)])
def test_engine_that_asks_a_proxy_for_a_registry_is_told(context: DoctorContext, no: str, status: Status) -> None:
    registry = context.spec.registry.model_copy(update={"tls": ("reg.demo.sandbox.localhost:8443",)})
    context = replace(context, spec=context.spec.model_copy(update={"registry": registry}))
    found = engine_checks.proxy(told(context, proxies={"https": "http://proxy", "no": no}))
    assert found.status is status
    assert ("add reg.demo.sandbox.localhost to" in found.fix) == (status is Status.WARN)


@pytest.mark.fault(61)
def test_an_engine_without_nodes_need_not_be_able_to_run_one(context: DoctorContext) -> None:
    """A rootless engine, and a namespace of a cluster that exists → no row says that the engine runs no cluster."""
    refused = told(context, rootless=True, cgroup_version=1)
    assert engine_checks.cgroups(refused).status is Status.ERROR
    cluster = Cluster(provider="existing", context="team", namespace="mine")
    existing = replace(refused, spec=refused.spec.model_copy(update={"cluster": cluster}))
    assert engine_checks.cgroups(existing).status is Status.SKIPPED
    assert engine_checks.reachable(told(existing, podman=True)).status is Status.OK
    assert engine_checks.resources(told(existing, memory=1 << 30)).status is Status.SKIPPED


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is first on the PATH."""
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    return tmp_path


@pytest.mark.fault(29)
@pytest.mark.parametrize(
    ("seconds", "status", "words"),
    [
        (0, Status.OK, "are 0 s apart"),
        (-20, Status.OK, "are 20 s apart"),
        (3600, Status.ERROR, "are 3600 s apart"),
        (-45, Status.ERROR, "are 45 s apart"),
        (-400 * 86400, Status.ERROR, "are 400 days apart"),
    ],
)
def test_clock_that_differs_is_reported(context: DoctorContext, seconds: int, status: Status, words: str) -> None:
    """The engine's clock is an hour ahead → the doctor says by how much."""
    assert isinstance(context.docker, EngineProbe)
    found = engine_checks.clock(told(context, time=context.docker.asked + timedelta(seconds=seconds)))
    assert found.status is status and words in found.evidence


@pytest.mark.fault(60)
@pytest.mark.security(6)
def test_password_of_a_remote_engine_is_hidden(context: DoctorContext) -> None:
    """DOCKER_HOST with an account → shown without it."""
    away = replace(told(context, local=False), environment={"DOCKER_HOST": "tcp://me:secret@build.example.com:2376"})
    found = engine_checks.local(away)
    assert found.status is Status.ERROR and found.evidence.startswith("the engine runs on build.example.com:")
    assert "127.0.0.1 are there, not here" in found.evidence


def test_engine_behind_a_port_of_this_machine_is_local(context: DoctorContext) -> None:
    near = replace(told(context, local=False), environment={"DOCKER_HOST": "tcp://127.0.0.1:2375"})
    assert engine_checks.local(near).status is Status.OK


def test_facts_are_read_from_the_engines_answer() -> None:
    found = connection.read_facts(
        {
            "ServerVersion": "28.1.0",
            "SecurityOptions": ["name=seccomp,profile=builtin", "name=rootless"],
            "CgroupVersion": "1",
            "CPUShares": False,
            "NCPU": 2,
            "MemTotal": 5,
            "DockerRootDir": "/data",
            "SystemTime": "2026-11-24T19:04:34.313163658Z",
            "HttpProxy": "http://proxy",
            "NoProxy": "",
        },
        api="1.49",
        local=True,
    )
    assert (found.rootless, found.cgroup_version, found.cpus, found.memory) == (True, 1, 2, 5)
    assert not found.limits
    assert found.time is not None and found.time.utcoffset() == timedelta(0)
    assert (str(found.root), found.proxies) == ("/data", {"http": "http://proxy"})


@pytest.mark.parametrize("time", ["", "soon", "2026-11-24T19:04:34"])
def test_a_time_that_tells_nothing_is_none(time: str) -> None:
    assert connection.read_facts({"ServerVersion": "1", "SystemTime": time}, api="1.41", local=True).time is None
