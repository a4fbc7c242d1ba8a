"""What the doctor reports of the engine, the machine and its network, with the kernel's files in a test's folder."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from sandbox.config.schema import Cluster, ResolvedSpec
from sandbox.doctor import machine_checks, network_checks
from sandbox.doctor.check import DoctorContext, Status
from sandbox.names import EDGE, LABEL
from sandbox.system import host_network, inotify
from tests.support.fakes import NETWORK, FakeEngine
from tests.unit.doctor.conftest import start, with_facts


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
    ("limits", "used", "status"),
    [
        ((65536, 128), 0, Status.OK),
        ((65535, 128), 0, Status.WARN),
        ((65536, 127), 0, Status.WARN),
        ((65536, 130), 121, Status.OK),
        ((65536, 128), 121, Status.ERROR),
    ],
)
def test_low_inotify_limits_are_reported(
    context: DoctorContext, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limits: Any, used: int, status: Status
) -> None:
    """Few watches or instances, Linux' own, or instances that are used up → the doctor prints the sysctl."""
    monkeypatch.setattr(inotify, "SYSCTL", tmp_path)
    monkeypatch.setattr(inotify, "_PROCESSES", tmp_path / "proc")
    monkeypatch.setattr(inotify, "_ROOT", os.getuid())
    (tmp_path / "proc" / "13").mkdir(parents=True)  # a process that ended meanwhile
    (files := tmp_path / "proc" / "12" / "fd").mkdir(parents=True)
    for number in range(130):
        (files / str(number)).symlink_to("anon_inode:inotify" if number < used else "/dev/null")
    for name, limit in zip(("max_user_watches", "max_user_instances"), limits, strict=True):
        (tmp_path / name).write_text(f"{limit}\n")
    finding = machine_checks.watches(context)
    assert (finding.status, f"{used} are in use" in finding.evidence) == (status, used > 0)


@pytest.mark.fault(61)
def test_engine_of_another_kernel_is_not_judged_by_this_one(context: DoctorContext, engine: FakeEngine) -> None:
    """An engine whose kernel is another one → the rows about disk and inotify are skipped."""
    engine.shares = False
    for check in (machine_checks.disk, machine_checks.watches):
        found = check(context)
        assert (found.status, found.evidence) == (Status.SKIPPED, machine_checks.ELSEWHERE)
    engine.shares = None  # it has no network yet
    assert machine_checks.disk(context).status is not Status.SKIPPED
    assert machine_checks.disk(with_facts(context, kernel="6.1-of-a-vm")).status is Status.SKIPPED


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


HEAD = "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT\n"
DEFAULT = "eth0\t00000000\t0100000A\t0003\t0\t0\t0\t00000000\t0\t0\t0\n"
OURS = "br-1\t00001EAC\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0\n"  # 172.30.0.0/16
VPN = "tun0\t000010AC\t00000000\t0003\t0\t0\t0\t0000F0FF\t0\t0\t0\n"  # 172.16.0.0/12
DOWN = VPN.replace("0003", "0000")


@pytest.mark.fault(56)
@pytest.mark.parametrize(
    ("routes", "status"),
    [(DEFAULT + OURS, Status.OK), (OURS + VPN, Status.ERROR), (OURS + DOWN, Status.OK)],
)
def test_overlapping_route_to_our_network_is_reported(
    context: DoctorContext, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, routes: str, status: Status
) -> None:
    """A VPN's route covers our network → the doctor names the route."""
    monkeypatch.setattr(host_network, "ROUTES", tmp_path / "route")
    (tmp_path / "route").write_text(HEAD + routes)
    context.engine.create_network(NETWORK, {LABEL: ""})
    found = network_checks.ranges(context)
    assert found.status is status
    assert (status is Status.OK) or "172.16.0.0/12 on tun0" in found.evidence


def test_name_that_does_not_resolve_is_reported(context: DoctorContext, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = ResolvedSpec.model_validate({"name": "demo", "domain": "demo.invalid"})
    found = network_checks.dns(replace(context, spec=spec))
    assert found.status is Status.ERROR and found.fix == "sandbox hosts install -n demo"

    def unknown(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    # The resolver of macOS knows no name below localhost (RFC 6761 lets it).
    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    assert network_checks.dns(context).status is Status.WARN


def test_taken_port_is_fine_for_a_container_of_this_sandbox_only(context: DoctorContext, engine: FakeEngine) -> None:
    start(context, engine, EDGE, port=context.spec.edge.ports[0])
    start(context, engine, context.names.registry, port=context.spec.registry.port)
    assert network_checks.https(context).status is network_checks.registry(context).status is Status.OK
    assert EDGE in network_checks.https(context).evidence
    engine.remove_container(context.names.registry)
    start(context, engine, "other", port=context.spec.registry.port)
    taken = network_checks.registry(context)
    assert taken.status is Status.ERROR and taken.evidence.endswith("other")
    assert "sandbox up -n demo --registry-port" in taken.fix


def test_process_on_an_edge_port_is_named(context: DoctorContext) -> None:
    with closing(socket.create_server(("127.0.0.1", context.spec.edge.ports[1]))):
        found = network_checks.https(context)
    assert found.status is Status.ERROR and f"(pid {os.getpid()})" in found.evidence
    assert "sandbox up -n demo --https-port" in found.fix
