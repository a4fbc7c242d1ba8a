"""What the doctor reports of the engine and the machine, with the kernel's files in a folder of the test."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from sandbox.config.schema.cluster_schema import Cluster
from sandbox.doctor import machine_checks
from sandbox.doctor.check import DoctorContext, Status
from sandbox.system import inotify
from tests.support.fakes import FakeEngine
from tests.unit.doctor.conftest import with_facts


@pytest.mark.fault(19, 60)
@pytest.mark.parametrize(
    ("check", "facts", "status", "words"),
    [
        (machine_checks.engine, {}, Status.OK, "Docker Engine"),
        (machine_checks.engine, {"version": "4.3.1", "podman": True}, Status.OK, "Podman 4.3.1"),
        (machine_checks.engine, {"podman": True, "rootless": True}, Status.ERROR, "rootless Podman"),
        (machine_checks.engine, {"cgroup_version": 1, "rootless": True}, Status.ERROR, "needs cgroup v2"),
        (machine_checks.resources, {"memory": 1 << 30}, Status.ERROR, "1.0 GiB"),
        (machine_checks.resources, {"cpus": 1}, Status.WARN, "1 CPUs"),
        (machine_checks.resources, {"cpus": 2, "memory": 4 << 30}, Status.OK, "2 CPUs, 4.0 GiB"),
    ],
)
def test_engine_is_judged_by_its_facts(
    context: DoctorContext, check: Any, facts: Any, status: Status, words: str
) -> None:
    """An engine with little memory, one CPU, cgroup v1, or elsewhere → a row of the doctor for each."""
    finding = check(with_facts(context, **facts))
    assert finding.status is status and words in finding.evidence


@pytest.mark.fault(61)
def test_engine_that_runs_no_node_is_fine_for_an_existing_cluster(context: DoctorContext) -> None:
    """A rootless engine, and a namespace of a cluster that exists → no row says that the engine runs no cluster."""
    cluster = Cluster(provider="existing", context="team", namespace="mine")
    existing = replace(context, spec=context.spec.model_copy(update={"cluster": cluster}))
    assert machine_checks.engine(with_facts(existing, rootless=True, cgroup_version=1)).status is Status.OK
    assert machine_checks.resources(with_facts(existing, memory=1 << 30)).status is Status.SKIPPED


@pytest.mark.fault(60)
@pytest.mark.security(6)
def test_password_of_a_remote_engine_is_hidden(context: DoctorContext) -> None:
    """DOCKER_HOST with an account → shown without it."""
    variables = {"DOCKER_HOST": "tcp://me:secret@build.example.com:2376"}
    finding = machine_checks.engine(replace(with_facts(context, local=False), environment=variables))
    assert finding.status is Status.ERROR and "it runs on build.example.com, " in finding.evidence
    near = replace(with_facts(context, local=False), environment={"DOCKER_HOST": "tcp://127.0.0.1:2375"})
    assert machine_checks.engine(near).status is Status.OK


@pytest.mark.fault(18)
@pytest.mark.parametrize(
    ("watches", "instances", "used", "status"),
    [
        (65536, 128, 0, Status.OK),
        (65535, 128, 0, Status.WARN),
        (65536, 127, 0, Status.WARN),
        (65536, 130, 121, Status.OK),
        (65536, 128, 121, Status.ERROR),
    ],
)
def test_low_inotify_limits_are_reported(
    context: DoctorContext,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    watches: int,
    instances: int,
    used: int,
    status: Status,
) -> None:
    """Few watches or instances, Linux' own, or instances that are used up → the doctor prints the sysctl."""
    monkeypatch.setattr(inotify, "SYSCTL", tmp_path)
    monkeypatch.setattr(inotify, "_PROCESSES", tmp_path / "proc")
    monkeypatch.setattr(inotify, "_ROOT", os.getuid())
    (tmp_path / "proc" / "13").mkdir(parents=True)  # a process that ended meanwhile
    (files := tmp_path / "proc" / "12" / "fd").mkdir(parents=True)
    for number in range(130):
        (files / str(number)).symlink_to("anon_inode:inotify" if number < used else "/dev/null")
    (tmp_path / "max_user_watches").write_text(f"{watches}\n")
    (tmp_path / "max_user_instances").write_text(f"{instances}\n")
    finding = machine_checks.watches(context)
    assert (finding.status, f"{used} are in use" in finding.evidence) == (status, used > 0)


@pytest.mark.fault(61)
@pytest.mark.parametrize("check", [machine_checks.disk, machine_checks.watches])
def test_engine_of_another_kernel_is_not_judged_by_this_one(
    context: DoctorContext, engine: FakeEngine, check: Any
) -> None:
    """An engine whose kernel is another one → the rows about disk and inotify are skipped."""
    engine.shares = False
    found = check(context)
    assert (found.status, found.evidence) == (Status.SKIPPED, machine_checks.ELSEWHERE)


def test_disk_of_an_engine_without_root_is_this_machines(context: DoctorContext, tmp_path: Path) -> None:
    found = machine_checks.disk(with_facts(context, rootless=True, root=tmp_path))
    assert found.evidence.partition(";")[0].endswith(f"on {tmp_path}")
    unseen = tmp_path / ("x" * 300) / "data"  # as below a folder of root's, this raises an OSError
    assert machine_checks.disk(with_facts(context, root=unseen)).evidence.partition(";")[0].endswith(f" on {unseen}")


@pytest.mark.fault(16)
@pytest.mark.parametrize(("free", "status"), [(1 << 30, Status.ERROR), (5 << 30, Status.WARN), (1 << 40, Status.OK)])
def test_full_disk_is_an_error(
    context: DoctorContext, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, free: int, status: Status
) -> None:
    """Less room than is needed → the doctor says how much there is and how much is needed."""
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=free))
    finding = machine_checks.disk(with_facts(context, root=tmp_path))
    assert finding.status is status and ("3 are needed" in finding.evidence) == (status is Status.ERROR)


@pytest.mark.parametrize(
    ("environment", "status", "words"),
    [
        ({}, Status.OK, "no proxy"),
        ({"HTTPS_PROXY": "http://u:secret@proxy:3128"}, Status.WARN, "https via proxy, also for localhost"),
        ({"HTTPS_PROXY": "http://u:secret@proxy:x", "NO_PROXY": "*"}, Status.WARN, "HTTPS_PROXY names no proxy"),
        ({"https_proxy": "http://proxy", "no_proxy": "127.0.0.1"}, Status.WARN, "also for localhost, demo."),
        ({"http_proxy": "http://p", "NO_PROXY": "localhost,127.0.0.1,.demo.sandbox.localhost"}, Status.OK, "not for"),
        ({"ALL_PROXY": "socks5://proxy", "NO_PROXY": "*"}, Status.OK, "all via proxy"),
    ],
)
def test_proxy_for_the_sandboxs_hosts_is_reported(
    context: DoctorContext, environment: dict[str, str], status: Status, words: str
) -> None:
    found = machine_checks.proxy(replace(context, environment=environment))
    assert found.status is status and words in found.evidence and "secret" not in found.evidence


@pytest.mark.parametrize("spared", [{}, {"NO_PROXY": "a.example"}, {"no_proxy": "a.example", "NO_PROXY": "b.example"}])
def test_fix_for_a_proxy_keeps_its_exceptions(context: DoctorContext, spared: dict[str, str]) -> None:
    environment = {"https_proxy": "http://proxy", **spared}
    fix = machine_checks.proxy(replace(context, environment=environment)).fix
    said = subprocess.run(["sh", "-c", f"{fix}; env"], env=environment, capture_output=True, text=True, check=True)
    fixed = dict(line.split("=", 1) for line in said.stdout.splitlines())
    assert machine_checks.proxy(replace(context, environment=fixed)).status is Status.OK
    assert fixed["no_proxy"] == fixed["NO_PROXY"] and ("a.example" in fixed["no_proxy"]) == bool(spared)
