"""A sandbox on the system's Podman of root, which a lane starts next to the engine that is there."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from sandbox.bundle.recipe import recipes
from sandbox.engine import Engine
from sandbox.names import LABEL
from tests.real import machine
from tests.real.application import Application
from tests.support.bundled import engine_with

pytestmark = [pytest.mark.real, pytest.mark.nightly]

LANE = Path(__file__).parents[2] / "scripts" / "lanes" / "podman"
WITHIN = "SANDBOX_TEST_WITHIN_PODMAN"
NEEDED = ("podman", "netavark", "aardvark-dns", "catatonit")
FOLDERS = os.pathsep.join((os.environ.get("PATH", ""), "/usr/lib/podman", "/usr/libexec/podman"))


@pytest.mark.fault(61)
def test_sandboxes_run_on_podman_of_root(tmp_path: Path) -> None:
    """Podman of root with its own network → all that is asked of an engine, and a sandbox from up to down."""
    lacking = [one for one in NEEDED if shutil.which(one, path=FOLDERS) is None]
    if os.getuid() != 0 or lacking:
        machine.leave_out(f"a Podman of its own needs root and {', '.join(lacking)}")
    mine = f"{__file__}::{test_sandbox_within_the_lane_is_whole.__name__}"
    tests = [mine, str(Path(__file__).parents[1] / "contract" / "test_engine.py")]
    options = ("-q", "-m", "real", "-rs", "-p", "no:cacheprovider", "--timeout", "900")
    command = [sys.executable, "-m", "pytest", *options, *tests]
    # Sandboxes that are on this machine's engine would keep the edge.
    settings = {**os.environ, WITHIN: "1", "XDG_STATE_HOME": str(tmp_path / "state")}
    done = subprocess.run([LANE, "run", *command], env=settings, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    if "SKIPPED" in done.stdout:
        machine.leave_out(done.stdout)


@pytest.fixture
def app(tmp_path: Path) -> Iterator[Application]:
    if WITHIN not in os.environ:
        pytest.skip("the test above runs this within the lane")
    made = Application.free("podman", tmp_path)
    made.write()
    engine_with("busybox").tag(recipes()["busybox"].reference, "sandbox.dev/busybox:latest")
    yield made
    made.command("down", "--purge", "--yes", status=None)


def test_sandbox_within_the_lane_is_whole(app: Application) -> None:
    engine = Engine.connect()
    assert engine.is_podman
    app.command("up")
    assert app.page() == "first"
    app.store("kept")
    assert {state for state, _ in app.command.steps().values()} == {"ready"}
    rows = app.command.doctor()
    assert "error" not in {row["status"] for row in rows.values()}, rows
    app.command("stop")
    app.command("start")
    assert app.page() == "kept"
    (app.folder / "images.yaml").write_text("images: [{from: daemon, image: sandbox.dev/busybox, as: app:2}]")
    assert "app:2" in app.command("push-images", "-o", "json").out
    app.command("down", "--purge")
    assert engine.containers(LABEL) == () and engine.labelled_volumes(LABEL) == {}
