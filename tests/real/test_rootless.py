"""An engine without root, which a lane starts next to the one that is there."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from sandbox.app import context
from sandbox.engine import Engine, reach
from tests.real import machine, team
from tests.real.application import Application
from tests.support.bundled import engine_with

pytestmark = [pytest.mark.real, pytest.mark.nightly]

ROOT = Path(__file__).parents[2]
LANE = ROOT / "scripts" / "lanes" / "rootless"
WITHIN = "SANDBOX_TEST_WITHIN_ROOTLESS"  # the DOCKER_HOST of the engine that is there besides
# What is asked of every engine, the edge, and pushes out of this one.
TESTS = (
    "tests/contract/test_engine.py",
    "tests/contract/test_haproxy_changes.py",
    "tests/real/registry/test_read_back.py",
)
within = pytest.mark.skipif(WITHIN not in os.environ, reason="the first test runs this within the lane")


@pytest.mark.fault(61)
def test_engine_without_root_is_an_engine() -> None:
    """A rootless engine → calls and pushes as on any other, and its verdicts are what `up` and the doctor say."""
    if os.getuid() != 0 or not shutil.which("rootlesskit") or not shutil.which("newuidmap"):
        machine.leave_out("an engine without root of the test's own needs root, rootlesskit, slirp4netns and uidmap")
    mine = (test_verdicts_on_the_engine_without_root, test_namespace_of_another_engine_s_cluster_is_served)
    options = ("-q", "-m", "real", "-rs", "-p", "no:cacheprovider", "--timeout", "900")
    command = [sys.executable, "-m", "pytest", *options, *(f"{__file__}::{one.__name__}" for one in mine), *TESTS]
    settings = {**os.environ, WITHIN: os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock")}
    done = subprocess.run([LANE, "run", *command], cwd=ROOT, env=settings, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    if "tests/real" in done.stdout:  # the contracts leave out what only engines of this machine's network do
        machine.leave_out(done.stdout)


@within
def test_verdicts_on_the_engine_without_root(tmp_path: Path) -> None:
    app = Application.free("rootless", tmp_path)
    app.write()
    engine, home = engine_with("busybox"), context.home()
    facts = Engine.connect().facts()
    found = reach.again(engine, home)
    assert facts.rootless and found.shares_kernel and not found.shares_network
    assert found.published == ("127.0.0.1",) and found.machine
    rows = app.command.doctor()
    assert "rootless" in rows["engine.reachable"]["evidence"] and rows["engine.ports"]["status"] == "ok"
    if facts.cgroup_version == 1:
        ran = app.command("up", status=4)
        assert "error[engine-rootless]" in ran.err and rows["engine.cgroups"]["status"] == "error"
    reach.forget(home)


@within
def test_namespace_of_another_engine_s_cluster_is_served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cluster that exists → the engine without root builds and pushes, the edge is a process, and all is served."""
    inside, outside = os.environ["DOCKER_HOST"], os.environ[WITHIN]
    monkeypatch.setenv("DOCKER_HOST", outside)
    with team.made(tmp_path) as made:
        monkeypatch.setenv("DOCKER_HOST", inside)
        engine_with("busybox")
        engine_with("haproxy")
        ports = machine.free_ports(9443, 5011, 18080)
        ann = team.person("ann", tmp_path / "at-ann", made.member("ann-dev"), made.context, ports)
        try:
            ann.command("up", "--yes")
            assert "hello" in ann.curl("hello").lower() and "world" in ann.curl("world").lower()
            assert {state for state, _ in ann.command.steps().values()} == {"ready"}
            rows = ann.command.doctor("--seconds", "60")
            assert {id for id, one in rows.items() if one["status"] == "error"} == set(), rows
        finally:
            ann.leave()
            monkeypatch.setenv("DOCKER_HOST", outside)
