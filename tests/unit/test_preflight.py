"""What is refused before anything is made: missing tools, ports of others, a Kubernetes that is not to be had."""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from sandbox.errors import MissingTool, UsageError
from sandbox.host import ports
from sandbox.host.engine import Bind, ContainerSpec
from sandbox.names import EDGE, LABEL, NETWORK, Home
from sandbox.preflight import PortTaken, require
from sandbox.proxy import routes
from sandbox.proxy.routes import Route
from sandbox.spec import Spec
from tests.fakes import FakeEngine
from tests.ports import free_port

IMAGE = "example.com/busybox:1"
KUBERNETES = "v1.36.3"
LOCAL = "127.0.0.1"
EVERYWHERE = "0.0.0.0"  # noqa: S104


@pytest.fixture
def place(tmp_path: Path) -> Home:
    return Home(tmp_path / "state", tmp_path / "cache", tmp_path / "kubeconfig")


@pytest.fixture
def engine() -> FakeEngine:
    engine = FakeEngine(IMAGE)
    engine.create_network(NETWORK, {LABEL: ""})
    return engine


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A PATH with a docker and a kind that will do, and nothing else."""
    place = tmp_path / "bin"
    place.mkdir()
    monkeypatch.setenv("PATH", str(place))
    install(place, "docker", "exit 0")
    install(place, "kind", "echo kind v0.33.0 go1.26.1 linux/amd64")
    return place


@pytest.fixture
def taken() -> Iterator[int]:
    """A port of this machine that this very process listens on."""
    with closing(socket.create_server((LOCAL, 0))) as server:
        yield server.getsockname()[1]


def install(folder: Path, name: str, script: str) -> None:
    program = folder / name
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)


def spec(*, registry: int | None = None, https: int | None = None, **more: Any) -> Spec:
    """A spec whose ports are free unless they are given."""
    listen = more.pop("listen", LOCAL)
    proxy = {"listen": listen, "ports": (https or free_port(),)}
    return Spec.model_validate({"name": "demo", "registry": {"port": registry or free_port()}, "proxy": proxy, **more})


def run(engine: FakeEngine, name: str, port: int, address: str = LOCAL) -> None:
    """A container of ours that publishes a port."""
    publish = {5000: (Bind(address, port),)}
    made = ContainerSpec(
        name=name, image=IMAGE, command=("sleep",), labels={LABEL: ""}, network=NETWORK, publish=publish
    )
    engine.run(made)


def test_a_machine_with_everything_will_do(place: Home, engine: FakeEngine) -> None:
    require(spec(), place, engine, KUBERNETES)
    assert not place.state.exists()


def test_a_missing_docker_command_is_named_with_its_package(place: Home, engine: FakeEngine, folder: Path) -> None:
    (folder / "docker").unlink()
    with pytest.raises(MissingTool, match="the docker command is not installed") as caught:
        require(spec(), place, engine, KUBERNETES)
    assert "docker-cli" in caught.value.fix


def test_a_missing_kind_is_named(place: Home, engine: FakeEngine, folder: Path) -> None:
    (folder / "kind").unlink()
    with pytest.raises(MissingTool, match="kind is not installed"):
        require(spec(), place, engine, KUBERNETES)


def test_an_old_kind_is_refused(place: Home, engine: FakeEngine, folder: Path) -> None:
    install(folder, "kind", "echo kind v0.20.0 go1.20 linux/amd64")
    with pytest.raises(MissingTool, match="kind is too old") as caught:
        require(spec(), place, engine, KUBERNETES)
    assert str(folder / "kind") in caught.value.details


@pytest.mark.parametrize("wanted", [KUBERNETES, "1.36.3"])
def test_the_kubernetes_that_is_there_may_be_asked_for(place: Home, engine: FakeEngine, wanted: str) -> None:
    require(spec(cluster={"kubernetes": wanted}), place, engine, KUBERNETES)


def test_another_kubernetes_is_refused_with_the_one_there_is(place: Home, engine: FakeEngine) -> None:
    with pytest.raises(UsageError, match=r"Kubernetes v1\.30\.0 is not available") as caught:
        require(spec(cluster={"kubernetes": "v1.30.0"}), place, engine, KUBERNETES)
    assert KUBERNETES in caught.value.details
    assert f"kubernetes: {KUBERNETES}" in caught.value.fix


@pytest.mark.parametrize("which", ["registry", "https"])
def test_a_port_of_a_process_is_refused_with_its_name_and_a_free_one(
    place: Home, engine: FakeEngine, taken: int, which: str
) -> None:
    with pytest.raises(PortTaken, match=f"port {taken} on {LOCAL} is taken") as caught:
        require(spec(**{which: taken}), place, engine, KUBERNETES)
    assert f"(pid {os.getpid()})" in caught.value.details
    assert "nothing was changed" in caught.value.details
    offered = re.search(rf"--{which}-port (\d+) ", caught.value.fix)
    assert offered
    assert ports.is_free(LOCAL, int(offered[1]))
    section = {"registry": f"registry: {{port: {offered[1]}}}", "https": f"proxy: {{ports: [{offered[1]}]}}"}
    assert section[which] in caught.value.fix


@pytest.mark.parametrize("running", [True, False])
@pytest.mark.parametrize("which", ["registry", "https"])
def test_a_port_of_another_sandbox_is_refused_even_while_it_is_stopped(
    place: Home, engine: FakeEngine, which: str, running: bool
) -> None:
    port = free_port()
    run(engine, "sandbox-other-registry", port)
    engine.boxes["sandbox-other-registry"].running = running
    with pytest.raises(PortTaken) as caught:
        require(spec(**{which: port}), place, engine, KUBERNETES)
    assert "held by container sandbox-other-registry" in caught.value.details


@pytest.mark.parametrize(("which", "name"), [("registry", "sandbox-demo-registry"), ("https", EDGE)])
def test_our_own_ports_are_ours(place: Home, engine: FakeEngine, taken: int, which: str, name: str) -> None:
    run(engine, name, taken)
    require(spec(**{which: taken}), place, engine, KUBERNETES)


@pytest.mark.parametrize(("which", "name"), [("registry", "sandbox-demo-registry"), ("https", EDGE)])
def test_a_port_that_somebody_took_while_we_were_stopped_is_refused(
    place: Home, engine: FakeEngine, taken: int, which: str, name: str
) -> None:
    run(engine, name, taken)
    engine.boxes[name].running = False
    with pytest.raises(PortTaken) as caught:
        require(spec(**{which: taken}), place, engine, KUBERNETES)
    assert f"(pid {os.getpid()})" in caught.value.details


@pytest.mark.parametrize(("which", "name"), [("https", "sandbox-demo-registry"), ("registry", EDGE)])
def test_registry_and_edge_do_not_take_each_other_s_ports(
    place: Home, engine: FakeEngine, taken: int, which: str, name: str
) -> None:
    run(engine, name, taken)
    with pytest.raises(PortTaken) as caught:
        require(spec(**{which: taken}), place, engine, KUBERNETES)
    assert f"held by container {name}" in caught.value.details


def test_a_sandbox_may_open_its_own_ports_to_the_network(place: Home, engine: FakeEngine, taken: int) -> None:
    run(engine, EDGE, taken)
    routes.save(place.edge, Route("demo", "demo.localhost", "node", ((LOCAL, taken),), 1.0))
    require(spec(https=taken, listen=EVERYWHERE), place, engine, KUBERNETES)


def test_a_port_that_another_sandbox_has_on_one_address_cannot_be_had_on_all(
    place: Home, engine: FakeEngine, taken: int
) -> None:
    run(engine, EDGE, taken)
    for name in ("demo", "other"):
        routes.save(place.edge, Route(name, f"{name}.localhost", "node", ((LOCAL, taken),), 1.0))
    with pytest.raises(PortTaken, match=f"port {taken} on {re.escape(EVERYWHERE)} is taken") as caught:
        require(spec(https=taken, listen=EVERYWHERE), place, engine, KUBERNETES)
    assert f"held by container {EDGE}" in caught.value.details
