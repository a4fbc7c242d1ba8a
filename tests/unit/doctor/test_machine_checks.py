"""What the doctor says of the machine, with files of the kernel's in a folder of the test's."""

from __future__ import annotations

import os
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import pytest

from sandbox.config.schema import ResolvedSpec
from sandbox.config.schema.cluster_schema import Cluster
from sandbox.doctor import machine_checks
from sandbox.doctor.check import Finding, Status
from sandbox.doctor.doctor_context import DoctorContext
from sandbox.engine import ContainerSpec
from sandbox.plan import saved_spec
from sandbox.system import inotify
from tests.support.fakes import NETWORK, FakeEngine
from tests.unit.doctor.conftest import IMAGE
from tests.unit.doctor.test_engine_checks import told


@pytest.mark.fault(18)
@pytest.mark.parametrize(
    ("watches", "instances", "status"),
    [(65536, 128, Status.OK), (65535, 128, Status.WARN), (65536, 127, Status.WARN)],
)
def test_low_inotify_limits_are_reported(
    context: DoctorContext,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    watches: int,
    instances: int,
    status: Status,
) -> None:
    """Limits below 65536 watches or 128 instances, Linux' own → the doctor prints the sysctl."""
    monkeypatch.setattr(inotify, "SYSCTL", tmp_path)
    monkeypatch.setattr(inotify, "_PROCESSES", tmp_path)
    (tmp_path / "max_user_watches").write_text(f"{watches}\n")
    (tmp_path / "max_user_instances").write_text(f"{instances}\n")
    assert machine_checks.watches(context).status is status


@pytest.mark.fault(18)
@pytest.mark.parametrize(("limit", "status"), [(130, Status.OK), (128, Status.ERROR)])
def test_inotify_instances_that_are_in_use_are_counted(
    context: DoctorContext, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: int, status: Status
) -> None:
    """121 of 128 instances in use → an error of the doctor, and under an `up` that fails, with the sysctl"""
    monkeypatch.setattr(inotify, "SYSCTL", tmp_path)
    monkeypatch.setattr(inotify, "_PROCESSES", tmp_path / "proc")
    monkeypatch.setattr(inotify, "_ROOT", os.getuid())
    (tmp_path / "max_user_watches").write_text("524288\n")
    (tmp_path / "max_user_instances").write_text(f"{limit}\n")
    (tmp_path / "proc" / "13").mkdir(parents=True)  # one that ended meanwhile
    files = tmp_path / "proc" / "12" / "fd"
    files.mkdir(parents=True)
    for number in range(130):
        (files / str(number)).symlink_to("anon_inode:inotify" if number < 121 else "/dev/null")
    found = machine_checks.watches(context)
    assert (found.status, "121 are in use" in found.evidence) == (status, True)


def test_inotify_is_skipped_without_linux(
    context: DoctorContext, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inotify, "SYSCTL", tmp_path / "none")
    assert machine_checks.watches(context).status is Status.SKIPPED


@pytest.mark.fault(61)
@pytest.mark.parametrize("check", [machine_checks.engine_disk, machine_checks.watches])
def test_engine_of_another_kernel_is_not_judged_by_this_one(
    context: DoctorContext, engine: FakeEngine, check: Any
) -> None:
    """An engine whose kernel is another one → the rows about disk and inotify are skipped."""
    engine.shares = False
    found = check(context)
    assert (found.status, found.evidence) == (Status.SKIPPED, machine_checks.ELSEWHERE)


def test_disk_of_an_engine_without_root_is_this_machines(
    context: DoctorContext, engine: FakeEngine, tmp_path: Path
) -> None:
    found = machine_checks.engine_disk(told(context, rootless=True, root=tmp_path))
    assert found.evidence.endswith(f"at {tmp_path}")
    engine.shares = False
    assert machine_checks.engine_disk(told(context, root=tmp_path)).status is Status.SKIPPED


@pytest.mark.parametrize(
    ("free", "watches", "statuses"),
    [(20 << 20, 524288, (Status.OK, Status.OK)), (1 << 20, 8192, (Status.ERROR, Status.WARN))],
)
@pytest.mark.parametrize(("provider", "node"), [("kind", "sandbox-demo-control-plane"), ("minikube", "sandbox-demo")])
def test_other_machines_disk_and_limits_are_read_in_the_node(
    context: DoctorContext,
    engine: FakeEngine,
    *,
    free: int,
    watches: int,
    statuses: tuple[Status, Status],
    provider: Literal["kind", "minikube"],
    node: str,
) -> None:
    engine.shares = False
    engine.create_network(NETWORK, {})
    saved_spec.save(context.names, ResolvedSpec(name="demo", cluster=Cluster(provider=provider)))
    engine.run(ContainerSpec(name=node, image=IMAGE, command=("x",), labels={}, network=NETWORK))
    engine.programs["df"] = lambda box, argv: (0, f"Filesystem 1024-blocks Used Available\n/dev/vda 1 1 {free} 1% /\n")
    engine.programs["cat"] = lambda box, argv: (0, f"{watches}\n512\n")
    found = (machine_checks.engine_disk(context), machine_checks.watches(context))
    assert tuple(one.status for one in found) == statuses


def test_free_space_is_of_the_nearest_existing_folder(context: DoctorContext) -> None:
    assert str(context.home.cache) in machine_checks.own_disk(context).evidence


def test_fuller_of_two_disks_decides(context: DoctorContext, monkeypatch: pytest.MonkeyPatch) -> None:
    free = {context.home.state: Status.WARN, context.home.cache: Status.ERROR}
    monkeypatch.setattr(machine_checks, "_room", lambda path, **_: Finding(free[path], str(path)))
    assert machine_checks.own_disk(context) == Finding(Status.ERROR, str(context.home.cache))


def test_folder_that_may_not_be_read_is_on_the_disk_above(tmp_path: Path) -> None:
    unseen = tmp_path / ("x" * 300) / "data"  # as one below a folder of root's, this raises an OSError
    assert machine_checks._room(unseen, needed=0, comfort=0).evidence.endswith(f" free at {unseen}")


@pytest.mark.fault(16)
def test_a_full_disk_is_an_error(context: DoctorContext, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Less room than is needed → the doctor says how much there is and how much is needed."""
    monkeypatch.setattr(machine_checks, "GIB", 1 << 60)
    found = machine_checks._room(tmp_path, needed=1 << 60, comfort=1 << 61)
    assert found.status is Status.ERROR and "1 are needed" in found.evidence
    assert machine_checks._room(tmp_path, needed=0, comfort=1 << 60).status is Status.WARN


def test_disk_of_an_engine_in_a_vm_is_not_checked(context: DoctorContext) -> None:
    assert machine_checks.engine_disk(told(context, local=False)).status is Status.SKIPPED


@pytest.mark.parametrize(
    ("environment", "status", "words"),
    [
        ({}, Status.OK, "no proxy"),
        ({"HTTPS_PROXY": "http://u:secret@proxy:3128"}, Status.WARN, "https via proxy, also for localhost"),
        ({"HTTPS_PROXY": "http://u:secret@proxy:x", "NO_PROXY": "*"}, Status.WARN, "HTTPS_PROXY names no proxy: its"),
        ({"all_proxy": "a b", "NO_PROXY": "*"}, Status.WARN, "all_proxy names no proxy: it has white space"),
        ({"https_proxy": "http://proxy", "no_proxy": "127.0.0.1"}, Status.WARN, "also for localhost, demo."),
        (
            {"http_proxy": "http://proxy", "NO_PROXY": "localhost,127.0.0.1,.demo.sandbox.localhost"},
            Status.OK,
            "not for",
        ),
        ({"ALL_PROXY": "socks5://proxy", "NO_PROXY": "*"}, Status.OK, "all via proxy"),
        ({"HTTPS_PROXY": "http://[oops"}, Status.WARN, "HTTPS_PROXY names no proxy: its host or port is not one"),
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
