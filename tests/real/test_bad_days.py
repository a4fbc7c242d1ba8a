"""What can go wrong on a real machine: interrupts, kills, taken ports, wrong input; each leaves the machine clean."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import docker
import pytest
import yaml

from sandbox.app import context
from sandbox.components.network.step import NetworkStep
from sandbox.engine import Engine
from sandbox.names import Home
from sandbox.step import State
from tests.real import machine
from tests.real.machine import CommandLine
from tests.support.fakes import NoWork
from tests.support.programs import make_program

pytestmark = [pytest.mark.real, pytest.mark.nightly]

NAME = "badday"
FREE = "registry: {port: auto}\nedge: {ports: auto}\n"


@pytest.fixture(scope="module")
def engine() -> Engine:
    return machine.engine()


@pytest.fixture
def command(tmp_path: Path, engine: Engine) -> Iterator[CommandLine]:
    first, second, registry = machine.free_ports(443, 8443, 5001)
    spec = {"name": NAME, "registry": {"port": registry}, "edge": {"ports": [first, second]}}
    tmp_path.joinpath("sandbox.yaml").write_text(yaml.safe_dump(spec))
    made = CommandLine({"KUBECONFIG": str(tmp_path / "kubeconfig")}, tmp_path)
    yield made
    tmp_path.joinpath("sandbox.yaml").write_text(yaml.safe_dump({"name": NAME}))
    made("down", "--purge")


def _wait_for_node(engine: Engine, child: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 120
    node = context.home().sandbox(NAME).node
    while engine.container(node) is None:
        assert child.poll() is None and time.monotonic() < deadline, "the node never came"
        time.sleep(0.05)


@pytest.mark.fault(5, 7)
@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_up_takes_back_what_it_began(
    command: CommandLine, engine: Engine, number: signal.Signals, status: int
) -> None:
    """SIGINT or SIGTERM while the cluster is made → exit code 130 or 143, and what this run made is gone."""
    before = machine.ours(engine)
    child = command.start("up")
    _wait_for_node(engine, child)
    child.send_signal(number)
    _, said = child.communicate(timeout=240)
    assert child.returncode == status, said
    assert "Traceback" not in said
    after = machine.ours(engine)
    # The registry's volume is data, and data is only removed by --purge.
    assert after["containers"] == before["containers"] and after["networks"] == before["networks"]


@pytest.mark.nightly
@pytest.mark.fault(8)
def test_a_killed_up_is_finished_by_the_next(command: CommandLine, engine: Engine) -> None:
    """SIGKILL while the cluster is made → the next `up` finishes, the one after changes nothing."""
    child = command.start("up")
    _wait_for_node(engine, child)
    child.kill()
    child.communicate(timeout=30)
    command("up")
    command("status")
    events = [json.loads(line) for line in command("up", "--progress", "json").err.splitlines()]
    assert {event["event"] for event in events} == {"unchanged"}


@pytest.mark.fault(12)
def test_a_taken_port_is_named_before_anything_is_made(command: CommandLine, engine: Engine) -> None:
    """`up` on a port that a process holds → the process and another port; nothing was made."""
    before = machine.ours(engine)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        ran = command("up", "--https-port", str(port), status=1)
    assert f"port {port} on 127.0.0.1 is taken" in ran.err
    assert f"pid {os.getpid()}" in ran.err
    assert "fix:" in ran.err and "--https-port" in ran.err
    assert machine.ours(engine) == before


def test_last_json_event_has_the_error_and_exit_code(command: CommandLine) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        ran = command("up", "--progress", "json", "-o", "json", "--https-port", port, status=None)
    last = json.loads(ran.err.splitlines()[-1])
    assert (last["event"], last["id"]) == ("error", "port-in-use")
    assert last["exit_code"] == ran.status == 1 and port in last["brief"] and last["fix"]


def test_addons_of_an_absent_sandbox_cannot_be_changed(command: CommandLine, engine: Engine) -> None:
    before = machine.ours(engine)
    for change in ("enable", "disable"):
        ran = command("addons", change, "metrics-server", status=1)
        assert f"the sandbox '{NAME}' is not up" in ran.err and "fix: sandbox up" in ran.err
    assert machine.ours(engine) == before


def test_missing_image_is_named_and_the_rest_comes_up(command: CommandLine, engine: Engine) -> None:
    spec = yaml.safe_load((command.folder / "sandbox.yaml").read_text())
    (command.folder / "sandbox.yaml").write_text(yaml.safe_dump({**spec, "push": "images.yaml"}))
    images = {"images": [{"from": "daemon", "image": "nosuch/made-this:1"}]}
    (command.folder / "images.yaml").write_text(yaml.safe_dump(images))
    ran = command("up", status=1)
    assert "nosuch/made-this:1" in ran.err
    assert engine.container(context.home().sandbox(NAME).node) is not None
    (command.folder / "images.yaml").write_text(yaml.safe_dump({"images": []}))
    command("up")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("name: Not_A_Label\n", "sandbox.yaml:1"),
        ("name: demo\nregistri: {port: 1}\n", "did you mean 'registry'"),
        ("name: [\n", "sandbox.yaml:"),
        (FREE + "push: nothing-here.yaml\n", "nothing-here.yaml"),
        (FREE + "apply: [nothing-here/]\n", "nothing-here"),
    ],
)
def test_wrong_specs_change_nothing(command: CommandLine, engine: Engine, text: str, said: str) -> None:
    before = machine.ours(engine)
    (command.folder / "sandbox.yaml").write_text(text)
    ran = command("up", status=2)
    assert said in ran.err
    assert machine.ours(engine) == before


@pytest.mark.fault(1)
def test_missing_engine_is_a_clear_error(command: CommandLine) -> None:
    """`up` with a socket that is not there → "no Docker Engine answers", exit code 4, nothing made."""
    nowhere = CommandLine({**command.env, "DOCKER_HOST": "unix:///nowhere.sock"}, command.folder)
    ran = nowhere("up", status=4)
    assert "no Docker Engine answers" in ran.err and "fix:" in ran.err


@pytest.mark.fault(62)
def test_a_kind_that_is_too_old_is_refused(command: CommandLine, tmp_path: Path) -> None:
    """`up` with an old kind first on the PATH → "kind is too old", exit code 4."""
    kind = make_program(tmp_path / "bin" / "kind", "echo kind v0.11.1 go1.16 linux/amd64")
    old = CommandLine({**command.env, "PATH": f"{kind.parent}:{os.environ['PATH']}"}, command.folder)
    assert "kind is too old" in old("up", status=4).err


@pytest.mark.fault(10)
def test_concurrent_commands_share_one_network(engine: Engine, tmp_path: Path) -> None:
    """Two networks of one name, as two commands at once make → `up` repairs them into one."""
    names = Home(tmp_path / "state", tmp_path / "cache", tmp_path / "kubeconfig").sandbox("twice")
    step = NetworkStep(engine, names)
    with contextlib.closing(docker.from_env()) as client:
        client.networks.create(names.network, labels=dict(names.labels), check_duplicate=False)
        try:
            client.networks.create(names.network, labels=dict(names.labels), check_duplicate=False)
        except docker.errors.APIError as error:
            step.undo()
            pytest.skip(f"engines from 25 on make no second network of a name: {error.explanation}")
    assert step.check().state is State.DRIFTED
    step.apply(NoWork())
    assert step.check().state is State.READY
    assert engine.spare_networks(names.network) == ()
    step.undo()
    assert engine.network(names.network) is None
