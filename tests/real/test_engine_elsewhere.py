"""Engines whose network, mounts and processes are apart from this machine's, as those of virtual machines are."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from http.server import ThreadingHTTPServer
from pathlib import Path

import pytest

from sandbox.bundle.recipe import recipes
from sandbox.engine import Engine
from sandbox.names import EDGE, HOST, LABEL
from sandbox.system.wait import wait_until
from tests.real import machine
from tests.real.application import Application
from tests.real.served import Sandbox
from tests.support.bundled import engine_with
from tests.support.http_server import Handler, serving

pytestmark = [pytest.mark.real, pytest.mark.nightly]

LANE = Path(__file__).parents[2] / "scripts" / "lanes" / "vm-engine"
NAME = "elsewhere"


class Hello(Handler):
    def do_GET(self) -> None:
        self.reply(200, b"this machine")


@pytest.fixture
def app(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Application]:
    """A sandbox, not yet up, on an engine that the lane starts with these options and stops."""
    if os.getuid() != 0 or not shutil.which("dockerd"):
        machine.leave_out("an engine in namespaces of its own needs root and dockerd")
    if "fuse" in request.param and not shutil.which("bindfs"):
        machine.leave_out("a share by FUSE needs bindfs")
    if "29" in request.param and not Path("/usr/include/seccomp.h").exists():
        machine.leave_out("scripts/engine29 builds Docker Engine 29 with libseccomp-dev")
    state = Path.home() / ".sandbox-test-elsewhere"  # below the folder that engines share
    monkeypatch.setenv("XDG_STATE_HOME", str(state))  # sandboxes on this machine's engine would keep the edge
    made: Application | None = None
    started = subprocess.run([LANE, "start", *request.param], capture_output=True, text=True)
    try:
        assert started.returncode == 0, started.stderr
        monkeypatch.setenv("DOCKER_HOST", started.stdout.strip())
        made = Application.free(NAME, tmp_path)
        made.write()
        made.command("down", "--purge", "--yes", status=None)  # what an earlier run left
        engine_with("busybox").tag(recipes()["busybox"].reference, "sandbox.dev/busybox:latest")
        yield made
    finally:
        if made:
            made.command("down", "--purge", "--yes", status=None)
        subprocess.run([LANE, "stop"], check=True)
        shutil.rmtree(state, ignore_errors=True)


def status_of(app: Application, host: str) -> str:
    return Sandbox(app.names, app.ports[0]).curl(host, "--max-time", "5").partition("\n")[0]


@pytest.mark.fault(60, 61)
@pytest.mark.parametrize(
    "app",
    [("--home", "none"), ("--home", "read-only"), ("--home", "fuse"), ("--home", "shared", "--engine", "29")],
    indirect=["app"],
)
def test_sandbox_on_an_engine_elsewhere_is_whole(app: Application) -> None:
    """A virtual machine's engine, home shared or not → pages, pushes, routes and stop and start all work."""
    app.command("up")
    assert app.page() == "first"
    app.store("kept")
    engine = Engine.connect()
    assert not engine.shares_network()
    bound = engine._client.api.inspect_container(EDGE)["Mounts"]
    assert {one["Type"] for one in bound} == {"volume"}
    with serving(ThreadingHTTPServer(("0.0.0.0", 0), Hello)) as server:  # noqa: S104
        port, host = server.server_address[1], f"dev.{NAME}.sandbox.localhost"
        before = engine.container(EDGE)
        app.command("edge", "route", "add", host, f"localhost:{port}")
        wait_until(lambda: None if " 200" in (said := status_of(app, host)) else said, what=host, timeout=20)
        after = engine.container(EDGE)
        assert before and after and before.id == after.id
        said = app.kubectl("exec", "deploy/app", "--", "busybox", "wget", "-qO-", f"http://{HOST}:{port}/")
        assert said == "this machine"
    rows = app.command.doctor()
    assert rows["machine.disk.engine"]["status"] == "skipped"
    app.command("stop")
    app.command("start")
    assert app.page() == "kept"
    assert {state for state, _ in app.command.steps().values()} == {"ready"}
    app.command("down", "--purge")
    assert engine.containers(LABEL) == () and engine.labelled_volumes(LABEL) == {}


@pytest.mark.fault(60, 61)
@pytest.mark.parametrize("app", [("--ports", "no")], indirect=True)
def test_engine_that_forwards_no_port_is_reported_at_once(app: Application) -> None:
    """An engine in another network that forwards nothing → `up` says so by the first port, and rolls back."""
    ran = app.command("up", status=None)
    assert ran.status != 0 and "error[engine-ports]" in ran.err, ran.err
    engine = Engine.connect()
    assert engine.containers(LABEL) == () and engine.container(app.names.node) is None
