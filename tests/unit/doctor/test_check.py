"""Checks run at once, in order and within a time; `--fix` repairs only what is safe; `sandbox doctor` shows all."""

from __future__ import annotations

import json
import os
import socket
import stat
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path

import pytest

from sandbox.app import context as app_context
from sandbox.app import diagnosis
from sandbox.cli import error_handler
from sandbox.config.schema import Spec
from sandbox.doctor import machine_checks
from sandbox.doctor.check import Check, DoctorContext, Finding, NoEngine, Row, Status, error, ok, repair, run
from sandbox.doctor.table import CHECKS
from sandbox.errors import SandboxError
from sandbox.names import LABEL, OWNER
from sandbox.system import inotify
from tests.support.fakes import NETWORK, FakeEngine
from tests.unit.cli.test_main import run as main
from tests.unit.doctor.conftest import start

ROOT = Path(__file__).parents[3]


def check(id: str, finding: Finding | Exception) -> Check:
    def inspect(context: DoctorContext) -> Finding:
        if isinstance(finding, Exception):
            raise finding
        return finding

    return Check(id, "", "fix", inspect)


def test_checks_run_at_once_and_a_hanging_one_is_a_warning(context: DoctorContext) -> None:
    barrier, free = threading.Barrier(2), threading.Event()

    def together(context: DoctorContext) -> Finding:
        barrier.wait(10)
        return ok("met")

    def hang(context: DoctorContext) -> Finding:
        free.wait(60)
        return ok("too late")

    checks = [Check(name, "", "fix", hang if name == "a" else together) for name in "cab"]
    rows = run(checks, context, seconds=0.2)
    free.set()
    assert rows == (
        Row("c", Status.OK, "met", ""),
        Row("a", Status.WARN, "no answer within 0.2 s", "fix"),
        Row("b", Status.OK, "met", ""),
    )


@pytest.mark.security(6)
@pytest.mark.parametrize(
    ("finding", "status", "evidence"),
    [
        (NoEngine(), Status.SKIPPED, "needs the Docker Engine"),
        (SandboxError("it broke", details="a\nb"), Status.ERROR, "it broke: b"),
        (OSError(13, "Permission denied"), Status.ERROR, "[Errno 13] Permission denied"),
        (error("tcp://me:secret@host:1 is a@b"), Status.ERROR, "tcp://host:1 is a@b"),
    ],
)
def test_finding_or_failure_is_a_row(
    context: DoctorContext, finding: Finding | Exception, status: Status, evidence: str
) -> None:
    """A URL with an account in a row of the doctor → shown without it."""
    (row,) = run([check("a", finding)], context, seconds=30)
    assert (row.status, row.evidence) == (status, evidence)


def test_the_page_is_current() -> None:
    made = subprocess.run(
        [sys.executable, ROOT / "scripts" / "doctor-docs"], capture_output=True, text=True, check=True
    )
    assert made.stdout == (ROOT / "docs" / "doctor.md").read_text(), "scripts/doctor-docs > docs/doctor.md"


def test_on_an_empty_machine_every_check_comes_to_a_row(context: DoctorContext) -> None:
    rows = run(CHECKS, context, seconds=30)
    assert [one.id for one in rows] == [one.id for one in CHECKS]
    assert all(bool(one.fix) == (one.status in (Status.WARN, Status.ERROR)) and one.evidence for one in rows)


def repaired(context: DoctorContext, id: str) -> Row:
    checks = [check for check in CHECKS if check.id == id]
    (row,) = repair(checks, run(checks, context, seconds=30), context)
    return row


@pytest.mark.fault(49)
@pytest.mark.security(14, 19)
def test_modes_are_tightened(context: DoctorContext) -> None:
    """The kubeconfig and the sandbox's folder are open to others → a row of the doctor; --fix closes both."""
    state, path = context.home.state, context.home.kubeconfig
    state.mkdir(parents=True)
    state.chmod(0o755)
    path.write_text("x")
    path.chmod(0o644)
    exposed = machine_checks.own_files(context)
    assert (exposed.status, exposed.fix) == (Status.ERROR, f"chmod go= {state} {path}")
    repaired_row = repaired(context, "files.own")
    assert repaired_row.status is Status.OK
    assert "(repaired: " in repaired_row.evidence and "0644" in repaired_row.evidence
    assert (stat.S_IMODE(state.stat().st_mode), stat.S_IMODE(path.stat().st_mode)) == (0o700, 0o600)
    path.unlink()
    os.mkfifo(path)  # as a device that everyone writes to
    path.chmod(0o666)
    assert repaired(context, "files.own").status is Status.OK
    assert stat.S_IMODE(path.stat().st_mode) == 0o666


@pytest.mark.fault(18)
@pytest.mark.parametrize(("limit", "used"), [(8, 0), (512, 510)])
def test_limits_are_raised_where_that_is_permitted_and_never_lowered(
    context: DoctorContext, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: int, used: int
) -> None:
    """8 inotify instances, or 512 that are used up, and many watches → --fix raises the one and leaves the other."""
    monkeypatch.setattr(inotify, "SYSCTL", tmp_path)
    monkeypatch.setattr(inotify, "used", lambda: used)
    (tmp_path / "max_user_watches").write_text("999999\n")
    (tmp_path / "max_user_instances").write_text(f"{limit}\n")

    def refused(self: Path, text: str, **_: str) -> int:
        raise PermissionError(13, "Permission denied")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_text", refused)
        row = repaired(context, "machine.inotify")
    assert row.status is not Status.OK and "sudo sysctl" in row.fix
    assert repaired(context, "machine.inotify").status is Status.OK
    assert (tmp_path / "max_user_watches").read_text() == "999999\n"


@pytest.mark.fault(23)
@pytest.mark.parametrize("owner", ["ours", "another's", "no one's"])
def test_only_our_own_network_goes(context: DoctorContext, engine: FakeEngine, owner: str) -> None:
    """An empty network of our name, ours, another user's or no sandbox's → --fix removes ours and leaves the other."""
    other = {LABEL: "demo", OWNER: "bob:4711:/home/bob/.local/state/sandbox"}
    engine.create_network(NETWORK, {"ours": context.names.labels, "another's": other, "no one's": {}}[owner])
    repaired(context, "leftovers.objects")
    assert (NETWORK in engine.networks) is (owner != "ours")


def test_doctor_without_an_engine_reports_it_and_exits_with_1(tmp_path: Path) -> None:
    done = main("doctor", "-n", "demo", "-o", "json", cwd=tmp_path)
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
        main("doctor", "-n", "demo", *arguments, cwd=tmp_path)
        assert stat.S_IMODE(path.stat().st_mode) == mode


@pytest.mark.fault(4)
def test_hanging_engine_does_not_block_the_doctor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A socket that takes the call and says nothing → the doctor says that the engine has not answered, in seconds."""
    with closing(socket.socket(socket.AF_UNIX)) as silent:
        silent.bind(str(tmp_path / "engine.sock"))
        silent.listen()  # the kernel takes the call, and no server answers
        monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/engine.sock")
        done = main("doctor", "--seconds", "1.5", cwd=tmp_path)
    assert done.code == 1
    assert "✗ engine.reachable         the Docker Engine has not answered for 1 s" in done.stdout


def test_request_is_followed_up_to_its_first_error(tmp_path: Path) -> None:
    done = main("doctor", "tls", "nosuch.invalid", "-n", "demo", cwd=tmp_path)
    assert (done.code, done.stderr) == (1, "")
    assert done.stdout.startswith("✗ tls.name ") and "· tls.answer " in done.stdout


def test_error_of_another_command_is_explained(
    context: DoctorContext, engine: FakeEngine, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    start(context, engine, "other", port=443)
    monkeypatch.setattr(diagnosis, "probe_engine", lambda seconds: engine)
    failure = SandboxError("it broke", fix="repair it")
    diagnosis.explain(failure, Spec(name="demo"))
    error_handler.report(failure)
    said = capsys.readouterr().err
    assert said.startswith("error[failed]: it broke\nfix: repair it\n")
    assert "✗ ports.https" in said and "443 other" in said and "✓" not in said
