"""`doctor --fix` mends modes, limits and our empty network, and nothing that is not ours."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import pytest

from sandbox.cli import command_context
from sandbox.doctor import machine_checks, own_files_checks
from sandbox.doctor.check import Check, run
from sandbox.doctor.doctor_context import Scene
from sandbox.doctor.repair import mend
from sandbox.doctor.row import Row, Status
from sandbox.doctor.table import CHECKS
from sandbox.names import LABEL, OWNER
from tests.support.fakes import NETWORK, FakeEngine
from tests.unit.cli import test_main


def mended(scene: Scene, *ids: str) -> dict[str, Row]:
    checks: list[Check[Scene]] = [one for one in CHECKS if one.id in ids]
    return {one.id: one for one in mend(checks, run(checks, scene, seconds=30), scene)}


@pytest.mark.fault(49)
@pytest.mark.security(14, 19)
def test_modes_are_tightened(scene: Scene) -> None:
    """The kubeconfig and the sandbox's folder are open to others → rows of the doctor; --fix closes both."""
    scene.home.state.mkdir(parents=True)
    scene.home.state.chmod(0o755)
    scene.home.kubeconfig.write_text("x")
    scene.home.kubeconfig.chmod(0o644)
    assert own_files_checks.state(scene).status is Status.ERROR
    assert own_files_checks.kubeconfig(scene).status is Status.WARN
    found = mended(scene, "files.own", "files.kubeconfig")
    assert {row.status for row in found.values()} == {Status.OK}
    assert "(mended: " in found["files.kubeconfig"].evidence and "0644" in found["files.kubeconfig"].evidence
    assert stat.S_IMODE(scene.home.state.stat().st_mode) == 0o700
    assert stat.S_IMODE(scene.home.kubeconfig.stat().st_mode) == 0o600


@pytest.mark.fault(18)
def test_limits_are_raised_and_never_lowered(scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """8 inotify instances and many watches → --fix raises the one and leaves the other."""
    monkeypatch.setattr(machine_checks, "SYSCTL", tmp_path)
    monkeypatch.setattr(machine_checks, "PROCESSES", tmp_path)
    (tmp_path / "max_user_watches").write_text("999999\n")
    (tmp_path / "max_user_instances").write_text("8\n")
    assert mended(scene, "machine.inotify")["machine.inotify"].status is Status.OK
    assert (tmp_path / "max_user_watches").read_text() == "999999\n"


def test_what_may_not_be_changed_keeps_its_row(scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine_checks, "SYSCTL", tmp_path)
    monkeypatch.setattr(machine_checks, "PROCESSES", tmp_path)
    (tmp_path / "max_user_watches").write_text("8\n")
    (tmp_path / "max_user_instances").write_text("8\n")

    def refused(self: Path, text: str, **_: str) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "write_text", refused)
    row = mended(scene, "machine.inotify")["machine.inotify"]
    assert row.status is Status.WARN and "sudo sysctl" in row.fix


@pytest.mark.fault(23)
@pytest.mark.parametrize("owner", ["ours", "another's", "nobody's"])
def test_only_our_own_network_goes(scene: Scene, engine: FakeEngine, owner: str) -> None:
    """An empty network of our name, ours, another user's or no sandbox's → --fix removes ours and leaves the other."""
    other = {LABEL: "demo", OWNER: "bob:4711:/home/bob/.local/state/sandbox"}
    engine.create_network(NETWORK, {"ours": scene.names.labels, "another's": other, "nobody's": {}}[owner])
    mended(scene, "leftovers.networks")
    assert (NETWORK in engine.networks) is (owner != "ours")


def test_without_fix_nothing_changes_and_with_it_the_command_mends(tmp_path: Path) -> None:
    path = command_context.home().kubeconfig
    path.parent.mkdir(parents=True)
    path.write_text("apiVersion: v1\n")
    path.chmod(0o644)
    test_main.run("doctor", cwd=tmp_path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    found = test_main.run("doctor", "--fix", "-o", "json", cwd=tmp_path)
    rows = {one["id"]: one for one in json.loads(found.stdout)}
    assert rows["files.kubeconfig"]["status"] == "ok" and rows["engine.reachable"]["status"] == "error"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert os.access(path, os.R_OK)
