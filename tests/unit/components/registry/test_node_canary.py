"""The search for the broken hop, gone by the real script to real sockets; only containerd's client is a stand-in."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from sandbox.components.registry import node_canary
from sandbox.components.registry.node_canary import Broken, Pulled
from sandbox.images import canary_image as image
from sandbox.oci.client import Client
from tests.support.ports import free_port
from tests.support.registry_simulator import Fault, Simulator


@pytest.fixture
def registry() -> Iterator[Simulator]:
    with Simulator() as simulator:
        yield simulator


@pytest.fixture
def name(registry: Simulator) -> str:
    with Client(registry.url) as client:
        return image.place(client)


@pytest.fixture
def crictl(tmp_path: Path) -> Path:
    """A crictl that notes how it was called, and cannot pull while there is a file `deaf` next to it."""
    program = tmp_path / "bin" / "crictl"
    program.parent.mkdir()
    program.write_text(
        '#!/bin/sh\ncd "${0%/*}"\necho "$@" >> called\n'
        '[ "$1" != pull ] || [ ! -e deaf ] || { echo refused >&2; exit 1; }\n'
    )
    program.chmod(0o755)
    return program


def pull(crictl: Path, name: str, endpoint: str) -> Pulled | Broken:
    argv = node_canary.command("localhost:5001", name, endpoint)
    env = {**os.environ, "PATH": f"{crictl.parent}:{os.environ['PATH']}"}
    done = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=env, check=True)
    return node_canary.read(done.stdout, endpoint)


def test_canary_is_removed_before_and_after_to_force_a_pull(crictl: Path, name: str) -> None:
    found = pull(crictl, name, "http://localhost:5000")
    assert isinstance(found, Pulled) and found.milliseconds >= 0
    whole = f"localhost:5001/{name}"
    called = (crictl.parent / "called").read_text().splitlines()
    assert called == [f"rmi {whole}", f"pull {whole}", f"rmi {whole}"]


@pytest.fixture
def deaf(crictl: Path) -> Path:
    (crictl.parent / "deaf").touch()
    return crictl


def test_a_name_without_an_address(deaf: Path, name: str) -> None:
    found = pull(deaf, name, "http://nowhere.invalid:5000")
    assert found == Broken("name", "nowhere.invalid has no address there")


def test_an_address_that_nothing_listens_on(deaf: Path, name: str) -> None:
    port = free_port()
    found = pull(deaf, name, f"http://127.0.0.1:{port}")
    assert found == Broken("route", f"127.0.0.1:{port} refuses or does not answer")


def test_a_server_that_is_no_registry(deaf: Path, name: str, registry: Simulator) -> None:
    registry.faults.append(Fault("GET", "/v2/$", 503))
    assert pull(deaf, name, registry.url) == Broken("http", f"GET {registry.url}/v2/ answers 503")


def test_a_registry_that_is_not_the_one_we_pushed_to(deaf: Path, name: str) -> None:
    with Simulator() as other:
        found = pull(deaf, name, other.url)
    assert found == Broken("manifest", "the registry there answers 404 to the canary")


def test_a_containerd_that_goes_another_way(deaf: Path, name: str, registry: Simulator) -> None:
    assert pull(deaf, name, registry.url) == Broken("pull", "refused")


def test_a_node_without_the_programs_is_broken_too() -> None:
    assert isinstance(node_canary.read('exec: "bash": executable file not found\n', "http://reg:5000"), Broken)


def test_a_registry_behind_tls_is_judged_by_its_route_only() -> None:
    argv = node_canary.command("reg.test", "a@sha256:0", "https://reg.test")
    assert argv[-2:] == ["443", "/v2/a/manifests/sha256:0"]
    said = "name 192.0.2.1\nroute open\nhttp 400\nmanifest 400\npull x509: unknown authority\n"
    assert node_canary.read(said, "https://reg.test") == Broken("pull", "x509: unknown authority")
