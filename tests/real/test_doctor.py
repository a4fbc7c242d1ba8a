"""The doctor beside a real sandbox: all is well, and each thing that is broken on purpose is what it names."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sandbox.cli import environment
from sandbox.cluster.api import Cluster
from sandbox.host.engine import Engine
from tests.real import machine
from tests.real.machine import CommandLine

pytestmark = pytest.mark.real

NAME = "test-doctor"
DOMAIN = f"{NAME}.sandbox.localhost"


@pytest.fixture(scope="module")
def engine() -> Engine:
    return machine.engine()


@pytest.fixture(scope="module")
def command(tmp_path_factory: pytest.TempPathFactory, engine: Engine) -> Iterator[CommandLine]:
    """The command line in the folder of a sandbox that is up."""
    folder = tmp_path_factory.mktemp("doctor")
    https, registry = machine.free_ports(48443, 45001)
    (folder / "sandbox.yaml").write_text(
        f"name: {NAME}\nproxy: {{ports: [{https}]}}\nregistry: {{port: {registry}}}\n", encoding="utf-8"
    )
    run = CommandLine({"KUBECONFIG": str(folder / "kubeconfig")}, folder)
    run("up")
    try:
        yield run
    finally:
        run("down", "--purge")


@pytest.fixture(scope="module")
def cluster(command: CommandLine) -> Cluster:
    return Cluster(environment.home().sandbox(NAME).kubeconfig)


def rows(command: CommandLine, *arguments: str, status: int | None = None) -> dict[str, dict[str, Any]]:
    found = json.loads(command("doctor", *arguments, "-o", "json", status=status).out)
    return {row["id"]: row for row in found}


def test_a_sandbox_that_is_up_has_no_errors(command: CommandLine) -> None:
    found = rows(command, status=0)
    ours = ("wiring.", "ports.", "certificates.authority", "certificates.leaves", "engine.reachable")
    assert {id for id, row in found.items() if id.startswith(ours) and row["status"] != "ok"} == set()


def test_every_client_accepts_the_domain(command: CommandLine) -> None:
    found = rows(command, "tls", DOMAIN, status=0)
    assert {row["status"] for row in found.values()} <= {"ok", "warn", "skipped"}
    clients = {id: row for id, row in found.items() if id.startswith("tls.verifier.")}
    for name in ("openssl", "curl", "python"):
        assert clients[f"tls.verifier.{name}"]["evidence"].startswith("accepts")
    assert all(row["status"] == "skipped" or row["evidence"].startswith("accepts") for row in clients.values())
    assert found["tls.certificate"]["evidence"].startswith("the sandbox's certificate for its domain")


def test_a_host_without_a_rule_and_one_without_pods(command: CommandLine, cluster: Cluster) -> None:
    host = f"empty.{DOMAIN}"
    found = rows(command, "tls", host, status=1)
    assert (found["tls.chain"]["status"], found["tls.rule"]["status"]) == ("ok", "error")
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
def test_a_registry_that_has_stopped_is_named_and_mended_by_the_fix(command: CommandLine, engine: Engine) -> None:
    """The registry is killed → the doctor names it, and `up` mends it."""
    names = environment.home().sandbox(NAME)
    engine.signal(names.registry, "SIGKILL")
    try:
        found = rows(command, status=1)
        assert found["wiring.registry"]["status"] == "error" and names.registry in found["wiring.registry"]["evidence"]
    finally:
        command("up")
    assert rows(command, status=0)["wiring.registry"]["status"] == "ok"


def test_after_down_the_data_it_kept_is_no_leftover(command: CommandLine, tmp_path: Path) -> None:
    command("down")
    found = rows(command)
    assert found["wiring.registry"]["status"] == "skipped"
    assert NAME not in json.dumps([row for id, row in found.items() if id.startswith("leftovers.")])
    command("up")
