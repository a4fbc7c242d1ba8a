"""The doctor next to a real sandbox: all is well, and each thing that is broken on purpose is what it names."""

from __future__ import annotations

import json
import tarfile
from pathlib import Path
from typing import Any

import pytest
import yaml

from sandbox.engine import Engine
from sandbox.kube.api import Cluster
from sandbox.system.wait import wait_until
from tests.real import machine
from tests.real.application import Application
from tests.real.machine import CommandLine
from tests.real.one_sandbox.conftest import DOMAIN

pytestmark = pytest.mark.real


@pytest.fixture
def command(up: Application) -> CommandLine:
    return up.command


@pytest.fixture
def cluster(up: Application) -> Cluster:
    return Cluster(up.names.kubeconfig)


def rows(command: CommandLine, *arguments: str, status: int | None = None) -> dict[str, dict[str, Any]]:
    patient = () if arguments else ("--seconds", "60")
    return command.doctor(*arguments, *patient, status=status)


def test_a_sandbox_that_is_up_has_no_errors(command: CommandLine) -> None:
    found = rows(command, status=0)
    ours = ("wiring.", "ports.", "certificates.valid", "engine.reachable")
    assert {id for id, row in found.items() if id.startswith(ours) and row["status"] != "ok"} == set()


def test_request_for_the_domain_has_no_errors(command: CommandLine) -> None:
    found = rows(command, "tls", DOMAIN, status=0)
    assert {row["status"] for row in found.values()} <= {"ok", "warn", "skipped"}
    assert found["tls.trusted"]["status"] == "warn" and DOMAIN in found["tls.certificate"]["evidence"]


def test_a_host_without_a_rule_and_one_without_pods(command: CommandLine, cluster: Cluster) -> None:
    host = f"empty.{DOMAIN}"
    found = rows(command, "tls", host, status=1)
    assert (found["tls.trusted"]["status"], found["tls.rule"]["status"]) == ("warn", "error")
    backend = {"service": {"name": "empty", "port": {"number": 80}}}
    paths = [{"path": "/", "pathType": "Prefix", "backend": backend}]
    metadata = {"name": "empty", "namespace": "default"}
    cluster.apply(
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": metadata,
            "spec": {"selector": {"app": "empty"}, "ports": [{"port": 80}]},
        }
    )
    cluster.apply(
        {
            "apiVersion": "networking.k8s.io/v1",
            "kind": "Ingress",
            "metadata": metadata,
            "spec": {"rules": [{"host": host, "http": {"paths": paths}}]},
        }
    )
    try:
        found = rows(command, "tls", host, status=1)
    finally:
        cluster.delete("networking.k8s.io/v1", "Ingress", "empty", "default")
        cluster.delete("v1", "Service", "empty", "default")
    assert (found["tls.rule"]["status"], found["tls.endpoints"]["status"]) == ("ok", "error")
    assert "no pod has the labels app=empty" in found["tls.endpoints"]["evidence"]
    assert found["tls.answer"]["status"] == "skipped"


@pytest.mark.fault(21)
def test_stopped_registry_is_named_and_repaired_by_the_fix(
    up: Application, command: CommandLine, engine: Engine
) -> None:
    """The registry is killed → the doctor names it, and `up` repairs it."""
    names = up.names
    engine.signal(names.registry, "SIGKILL")
    try:
        found = rows(command, status=1)
        assert found["wiring.registry"]["status"] == "error" and names.registry in found["wiring.registry"]["evidence"]
    finally:
        command("up")
    assert rows(command, status=0)["wiring.registry"]["status"] == "ok"


@pytest.mark.nightly
def test_stopped_kubelet_and_dns_without_pods_are_named_and_repaired(
    up: Application, command: CommandLine, cluster: Cluster, engine: Engine
) -> None:
    node = up.names.node
    engine.execute(node, ["systemctl", "stop", "kubelet"])
    dns = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "coredns", "namespace": "kube-system"}}
    cluster.change(dns, {"spec": {"replicas": 0}})
    try:
        found = rows(command, status=1)
        assert found["wiring.node"]["evidence"] == f"the kubelet is stopped in {node}"
        assert f"the kubelet of {node} is stopped" in command("status", status=1).out
        engine.execute(node, ["systemctl", "start", "kubelet"])
        wait_until(
            lambda: None if "CoreDNS is scaled to 0 pods" in command("status", status=1).out else "CoreDNS has pods",
            what="the end of CoreDNS",
            timeout=60,
        )
        engine.execute(node, ["systemctl", "stop", "kubelet"])
    finally:
        command("up")
    found = rows(command, status=0)
    assert found["wiring.node"]["status"] == "ok"
    assert command("up", "--plan").out == ""


@pytest.mark.security(3)
def test_only_this_machine_s_loopback_listens(command: CommandLine) -> None:
    """A sandbox that no one asked to open → ss shows its ports on 127.0.0.1 and ::1 alone."""
    spec = yaml.safe_load((command.folder / "sandbox.yaml").read_text())
    for port, addresses in machine.listeners(spec["registry"]["port"], *spec["edge"]["ports"]).items():
        assert addresses and addresses <= machine.LOOPBACK, port


@pytest.mark.security(1, 6)
def test_a_support_archive_has_what_a_report_needs_and_no_secret(
    up: Application, command: CommandLine, cluster: Cluster, tmp_path: Path
) -> None:
    """`doctor archive` of a running sandbox → journals, pods' words, events and states; no key, no Secret's data."""
    names, path = up.names, tmp_path / "report.tar.gz"
    command("doctor", "archive", "--out", str(path))
    with tarfile.open(path) as tar:
        read = {one.name.partition("/")[2]: tar.extractfile(one) for one in tar}
        texts = {name: file.read().decode() for name, file in read.items() if file}
    assert "problems.txt" not in texts, texts["problems.txt"]
    for name in ("kubelet.log", "containerd.log", "registries.txt"):
        assert texts[f"nodes/{names.node}/{name}"].strip(), name
    assert {"status.json", "doctor.json", "objects/Event.json", f"containers/{names.registry}.log"} <= set(texts)
    assert any(name.startswith("pods/kube-system/coredns") and text.strip() for name, text in texts.items())
    everything = "\n".join(texts.values())
    assert "PRIVATE KEY" not in everything
    keys = [line for key in names.keys.rglob("*.key") for line in key.read_text().splitlines() if "-----" not in line]
    held = [one["data"]["tls.key"] for one in cluster.list("v1", "Secret") if "tls.key" in (one.get("data") or {})]
    assert keys and held
    assert not [secret for secret in (*keys, *held) if secret in everything]


@pytest.mark.nightly
def test_after_down_the_data_it_kept_is_no_leftover(up: Application, command: CommandLine) -> None:
    command("down")
    found = rows(command)
    assert found["wiring.registry"]["status"] == "skipped"
    assert up.name not in json.dumps([row for id, row in found.items() if id.startswith("leftovers.")])
    command("up")
