"""`sandbox doctor` as a user meets it, and what it adds to another command's error."""

from __future__ import annotations

import json
import socket
import stat
from contextlib import closing
from pathlib import Path

import pytest

from sandbox.app import context as app_context
from sandbox.app import diagnosis
from sandbox.cli import error_handler
from sandbox.config.schema import Spec
from sandbox.doctor.check import DoctorContext
from sandbox.doctor.table import CHECKS
from sandbox.errors import SandboxError
from tests.support.fakes import FakeEngine
from tests.unit.cli.test_main import Ended, run
from tests.unit.doctor.conftest import start


def doctor(folder: Path, *arguments: str) -> Ended:
    return run("doctor", *arguments, cwd=folder)


def test_without_an_engine_it_says_so_and_ends_with_1(tmp_path: Path) -> None:
    done = doctor(tmp_path, "-n", "demo", "-o", "json")
    assert (done.code, done.stderr) == (1, "")
    rows = {row["id"]: row for row in json.loads(done.stdout)}
    assert list(rows) == [check.id for check in CHECKS]
    assert rows["engine.reachable"]["status"] == "error" and rows["engine.reachable"]["fix"]
    skipped = {"status": "skipped", "evidence": "needs the Docker Engine", "fix": ""}
    assert rows["ports.https"] == {"id": "ports.https", **skipped}
    path = app_context.home().kubeconfig
    path.parent.mkdir(parents=True)
    path.write_text("apiVersion: v1\n")
    path.chmod(0o644)
    for arguments, mode in (([], 0o644), (["--fix"], 0o600)):
        doctor(tmp_path, "-n", "demo", *arguments)
        assert stat.S_IMODE(path.stat().st_mode) == mode


@pytest.mark.fault(4)
def test_hanging_engine_does_not_block_the_doctor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A socket that takes the call and says nothing → the doctor says that the engine has not answered, in seconds."""
    with closing(socket.socket(socket.AF_UNIX)) as silent:
        silent.bind(str(tmp_path / "engine.sock"))
        silent.listen()  # the kernel takes the call, and no server answers
        monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/engine.sock")
        done = doctor(tmp_path, "--seconds", "1.5")
    assert done.code == 1
    assert "✗ engine.reachable         the Docker Engine has not answered for 1 s" in done.stdout


def test_request_is_followed_up_to_its_first_error(tmp_path: Path) -> None:
    done = doctor(tmp_path, "tls", "nosuch.invalid", "-n", "demo")
    assert (done.code, done.stderr) == (1, "")
    assert done.stdout.startswith("✗ tls.name ") and "· tls.answer " in done.stdout


def test_error_of_another_command_is_explained(
    context: DoctorContext, engine: FakeEngine, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    start(context, engine, "other", port=443)
    monkeypatch.setattr(diagnosis, "probe_engine", lambda seconds: engine)
    error = SandboxError("it broke", fix="repair it")
    diagnosis.explain(error, Spec(name="demo"))
    error_handler.report(error)
    said = capsys.readouterr().err
    assert said.startswith("error[failed]: it broke\nfix: repair it\n")
    assert "✗ ports.https" in said and "443 other" in said and "✓" not in said
