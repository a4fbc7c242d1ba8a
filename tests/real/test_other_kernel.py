"""An engine on a kernel of its own, which is told from this machine's by more than its network."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from sandbox.engine import connection
from tests.real import machine
from tests.real.application import Application
from tests.support.bundled import engine_with

pytestmark = [pytest.mark.real, pytest.mark.nightly, pytest.mark.timeout(600)]

LANE = Path(__file__).parents[2] / "scripts" / "lanes" / "other-kernel"
# Where the packages user-mode-linux and kmod are unpacked, if they are not installed.
ROOT = os.environ.get("SANDBOX_TEST_KERNEL", "")


@pytest.fixture
def rootless(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[bool]:
    """Whether the engine is a user's; it is the lane's, which is started and stopped."""
    if os.getuid() != 0 or not shutil.which(f"{ROOT}/usr/bin/linux.uml"):
        machine.leave_out("a kernel of the test's own needs root and the packages user-mode-linux and kmod")
    options = ["--rootless"] if request.param else []
    if request.param and not (shutil.which("rootlesskit") and shutil.which("newuidmap")):
        machine.leave_out("an engine without root needs rootlesskit, slirp4netns and uidmap")
    started = subprocess.run([LANE, "start", f"--root={ROOT}", *options], capture_output=True, text=True)
    try:
        assert started.returncode == 0, started.stderr
        monkeypatch.setenv("DOCKER_HOST", started.stdout.strip())
        monkeypatch.setattr(connection, "_connections", {})  # both engines have the same address
        yield request.param
    finally:
        subprocess.run([LANE, "stop"], check=True)


@pytest.mark.fault(60, 61)
@pytest.mark.parametrize("rootless", [False, True], ids=["root", "rootless"], indirect=True)
def test_engine_on_another_kernel_is_not_this_machine_s(rootless: bool, tmp_path: Path) -> None:
    """An engine with another kernel and cgroup v2 → known as such, and refused where it cannot limit."""
    engine = engine_with("busybox")
    info = engine._client.info()
    assert info["KernelVersion"] != platform.release()
    assert not engine.shares_network()
    app = Application.free("kernel", tmp_path)
    app.write()
    rows = app.command.doctor("--seconds", "60")
    facts = engine.facts()
    assert (facts.rootless, facts.cgroup_version) == (rootless, 2)
    if rootless:
        ran = app.command("up", status=4)
        assert "error[engine-rootless]" in ran.err and "Delegate=yes" in rows["engine.reachable"]["fix"]
    else:
        assert "cgroup v2" in rows["engine.reachable"]["evidence"]
    for one in ("machine.disk.engine", "machine.inotify"):
        assert rows[one]["status"] == "skipped" and "a kernel of its own" in rows[one]["evidence"]
