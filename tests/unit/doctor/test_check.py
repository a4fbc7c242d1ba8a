"""Checks run at once, in order and within a time; `--fix` repairs only what is safe to repair."""

from __future__ import annotations

import json
import os
import stat
import threading
from functools import partial
from pathlib import Path

import pytest

from sandbox.app import context
from sandbox.doctor import machine_checks
from sandbox.doctor.check import (
    Check,
    DoctorContext,
    Finding,
    NoEngine,
    Row,
    Status,
    error,
    follow,
    ok,
    repair,
    row,
    run,
    warn,
)
from sandbox.doctor.table import CHECKS
from sandbox.errors import SandboxError
from sandbox.names import LABEL, OWNER
from sandbox.system import inotify
from tests.support.fakes import NETWORK, FakeEngine
from tests.unit.cli import test_main


def giving(finding: Finding, context: DoctorContext) -> Finding:
    return finding


def raising(trouble: Exception, context: DoctorContext) -> Finding:
    raise trouble


def test_checks_run_concurrently_and_report_in_order(context: DoctorContext) -> None:
    barrier = threading.Barrier(3)

    def together(context: DoctorContext) -> Finding:
        barrier.wait(10)
        return ok("met")

    rows = run([Check(name, "", "fix", together) for name in "cab"], context, seconds=20)
    assert [(one.id, one.evidence) for one in rows] == [("c", "met"), ("a", "met"), ("b", "met")]


def test_hanging_check_is_a_warning_and_blocks_no_other(context: DoctorContext) -> None:
    free = threading.Event()

    def hang(context: DoctorContext) -> Finding:
        free.wait(60)
        return ok("too late")

    late, well = run(
        [Check("a", "", "wait", hang), Check("b", "", "fix", lambda context: ok("fine"))], context, seconds=0.2
    )
    free.set()
    assert (late.status, late.evidence, late.fix) == (Status.WARN, "no answer within 0.2 s", "wait")
    assert well.status is Status.OK


@pytest.mark.parametrize(
    ("trouble", "status", "evidence"),
    [
        (NoEngine(), Status.SKIPPED, "needs the Docker Engine"),
        (SandboxError("it broke", details="a\nb"), Status.ERROR, "it broke: b"),
        (OSError(13, "Permission denied"), Status.ERROR, "[Errno 13] Permission denied"),
    ],
)
def test_failing_check_is_a_row(context: DoctorContext, trouble: Exception, status: Status, evidence: str) -> None:
    (found,) = run([Check("a", "", "fix", partial(raising, trouble))], context, seconds=30)
    assert (found.status, found.evidence) == (status, evidence)


def test_checks_after_the_first_error_are_skipped(context: DoctorContext) -> None:
    results = {"a": warn("odd", "look"), "b": error("bad", "kill{which}"), "c": ok("fine")}
    rows = list(follow([Check(id, "", "fix", partial(giving, finding)) for id, finding in results.items()], context))
    assert rows == [
        Row("a", Status.WARN, "odd", "look"),
        Row("b", Status.ERROR, "bad", "kill -n demo"),
        Row("c", Status.SKIPPED, "not checked: b failed", ""),
    ]


@pytest.mark.security(6)
def test_account_in_a_url_is_hidden() -> None:
    """A URL with an account in a row of the doctor → shown without it."""
    assert row("x", error("tcp://me:secret@host:1 is a@b"), fix="f", which="").evidence == "tcp://host:1 is a@b"


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


def test_kubeconfig_that_is_a_device_keeps_its_mode(context: DoctorContext) -> None:
    os.mkfifo(context.home.kubeconfig)
    context.home.kubeconfig.chmod(0o666)
    assert repaired(context, "files.own").status is Status.OK
    assert stat.S_IMODE(context.home.kubeconfig.stat().st_mode) == 0o666


@pytest.mark.fault(18)
@pytest.mark.parametrize(("limit", "used"), [(8, 0), (512, 510)])
def test_limits_are_raised_and_never_lowered(
    context: DoctorContext, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: int, used: int
) -> None:
    """8 inotify instances, or 512 that are used up, and many watches → --fix raises the one and leaves the other."""
    monkeypatch.setattr(inotify, "SYSCTL", tmp_path)
    monkeypatch.setattr(inotify, "used", lambda: used)
    (tmp_path / "max_user_watches").write_text("999999\n")
    (tmp_path / "max_user_instances").write_text(f"{limit}\n")
    assert repaired(context, "machine.inotify").status is Status.OK
    assert (tmp_path / "max_user_watches").read_text() == "999999\n"


def test_row_that_may_not_be_fixed_stays(
    context: DoctorContext, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inotify, "SYSCTL", tmp_path)
    monkeypatch.setattr(inotify, "_PROCESSES", tmp_path)
    (tmp_path / "max_user_watches").write_text("8\n")
    (tmp_path / "max_user_instances").write_text("8\n")

    def refused(self: Path, text: str, **_: str) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "write_text", refused)
    row = repaired(context, "machine.inotify")
    assert row.status is Status.WARN and "sudo sysctl" in row.fix


@pytest.mark.fault(23)
@pytest.mark.parametrize("owner", ["ours", "another's", "no one's"])
def test_only_our_own_network_goes(context: DoctorContext, engine: FakeEngine, owner: str) -> None:
    """An empty network of our name, ours, another user's or no sandbox's → --fix removes ours and leaves the other."""
    other = {LABEL: "demo", OWNER: "bob:4711:/home/bob/.local/state/sandbox"}
    engine.create_network(NETWORK, {"ours": context.names.labels, "another's": other, "no one's": {}}[owner])
    repaired(context, "leftovers.objects")
    assert (NETWORK in engine.networks) is (owner != "ours")


def test_check_changes_nothing_and_fix_runs_the_command(tmp_path: Path) -> None:
    path = context.home().kubeconfig
    path.parent.mkdir(parents=True)
    path.write_text("apiVersion: v1\n")
    path.chmod(0o644)
    test_main.run("doctor", cwd=tmp_path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    found = test_main.run("doctor", "--fix", "-o", "json", cwd=tmp_path)
    rows = {one["id"]: one for one in json.loads(found.stdout)}
    assert rows["files.own"]["status"] == "ok" and rows["engine.reachable"]["status"] == "error"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert os.access(path, os.R_OK)
