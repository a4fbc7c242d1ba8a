"""What `dev` prints, for people and for programs."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from sandbox.app.dev.dev_report import Container, Crash, DevReport
from sandbox.app.dev.loop import DevLoop
from sandbox.cli.dev import DevOutput, dev
from sandbox.errors import SandboxError
from tests.support import in_process

PLACE = Container("shop", "web-1", "web")
CRASH = Crash(PLACE, 3, "OOMKilled", "first\nlast", "kubectl rollout undo")


def tell(report: DevReport) -> None:
    report.watching([Path.cwd() / "app", Path("/else")])
    report.changed([Path.cwd() / "app/a.py"])
    report.progress("build", "Step 1/2")
    report.phase("build", "web:dev", 0.4, "")
    report.ready(1.234)
    report.copied(0.2)
    report.log(PLACE, "hello")
    report.failed(SandboxError("building failed", details="RUN false"))
    report.crashed(CRASH)


def test_each_phase_and_each_line_of_a_pod_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    tell(DevOutput("plain"))
    lines = capsys.readouterr().err.splitlines()
    assert lines == [
        "watching /else, app; Ctrl-C leaves, and all stays up",
        "─ app/a.py",
        "✓ build web:dev                               0.40 s",
        "  ready                                       1.23 s  after the change was seen",
        "  copied                                      0.20 s  after the change was seen; a program that does not "
        "reload by itself needs `restart: true`",
        "web-1 | hello",
        "error[failed]: building failed",
        "  RUN false",
        "✗ web-1 web ended with status 3 (OOMKilled); its last lines:",
        "  first",
        "  last",
        "  take this roll-out back: kubectl rollout undo",
    ]
    tell(DevOutput("quiet"))
    assert capsys.readouterr().err.splitlines() == lines[6:]


def test_programs_read_one_json_object_an_event(capsys: pytest.CaptureFixture[str]) -> None:
    tell(DevOutput("json"))
    events = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    names = ["watching", "changed", "progress", "phase", "ready", "copied", "log", "failed", "crashed"]
    assert [one["event"] for one in events] == names
    phase, log, failed, crashed = events[3], *events[6:]
    assert (phase["phase"], phase["what"], phase["seconds"]) == ("build", "web:dev", 0.4)
    assert (log["pod"], log["container"], log["line"]) == ("web-1", "web", "hello")
    assert (failed["id"], failed["details"]) == ("failed", "RUN false")
    assert (crashed["status"], crashed["lines"]) == (3, "first\nlast")


@pytest.mark.usefixtures("quiet")
def test_spec_from_a_pipe_is_not_followed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`dev -f <(…)`: the second time a pipe is empty, which is the spec of another sandbox."""
    monkeypatch.setattr(DevLoop, "run", lambda *_: pytest.fail("it began"))
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(SandboxError, match="is not a regular file"):
        in_process.run(dev, "-f", tmp_path / "pipe")


@pytest.mark.usefixtures("quiet")
def test_spec_that_goes_away_is_missed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """sandbox.yaml is moved away during `dev` → an error, and no `up` of the default sandbox."""
    loops: list[DevLoop] = []
    monkeypatch.setattr(DevLoop, "run", lambda loop, _: loops.append(loop))
    (tmp_path / "sandbox.yaml").write_text("name: demo\n")
    in_process.run(dev)
    assert loops[0].choose().name == "demo"
    (tmp_path / "sandbox.yaml").unlink()
    with pytest.raises(SandboxError, match=r"sandbox\.yaml"):
        loops[0].choose()
