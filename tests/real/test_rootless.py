"""An engine without root, which a lane starts next to the one that is there."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from sandbox.engine import Engine
from tests.real import machine
from tests.real.application import Application
from tests.support.bundled import engine_with

pytestmark = [pytest.mark.real, pytest.mark.nightly]

ROOT = Path(__file__).parents[2]
LANE = ROOT / "scripts" / "lanes" / "rootless"
WITHIN = "SANDBOX_TEST_WITHIN_ROOTLESS"  # the DOCKER_HOST of the engine that is there besides
# What is asked of every engine, and pushes out of this one. RootlessKit publishes a port on one address only, which is
# less than the tests of the edge ask for.
TESTS = ("tests/contract/test_engine.py", "tests/real/registry/test_read_back.py")
within = pytest.mark.skipif(WITHIN not in os.environ, reason="the first test runs this within the lane")


@pytest.mark.fault(61)
def test_engine_without_root_is_an_engine() -> None:
    """A rootless engine → calls and pushes as on any other, and its verdicts are what `up` and the doctor say."""
    if os.getuid() != 0 or not shutil.which("rootlesskit") or not shutil.which("newuidmap"):
        machine.leave_out("an engine without root of the test's own needs root, rootlesskit, slirp4netns and uidmap")
    mine = (test_verdicts_on_the_engine_without_root,)
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
    engine_with("busybox")
    engine = Engine.connect()
    facts = engine.facts()
    assert facts.rootless and not engine.shares_network()
    rows = app.command.doctor()
    assert "rootless" in rows["engine.reachable"]["evidence"]
    if facts.cgroup_version == 1:
        ran = app.command("up", status=4)
        assert "error[engine-rootless]" in ran.err and rows["engine.reachable"]["status"] == "error"
