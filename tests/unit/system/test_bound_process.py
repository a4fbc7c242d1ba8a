"""Programs that end with the process that started them, however that is killed."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from sandbox.system import daemon
from sandbox.system.process import ToolFailed, run
from sandbox.system.wait import wait_until
from tests.support.programs import make_program

STARTS = """
import sys
from sandbox.system.process import run
run([sys.argv[1], "x"], timeout=60, bound=True)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends programs with those that started them")
def test_bound_program_ends_when_its_starter_is_killed(tmp_path: Path) -> None:
    told = tmp_path / "pid"
    program = make_program(tmp_path / "tool", f"echo $$ > {told}.part\nmv {told}.part {told}\nexec sleep 60")
    starter = subprocess.Popen([sys.executable, "-c", STARTS, str(program)])
    wait_until(lambda: None if told.exists() else "not yet", what="the program", timeout=30)
    pid = int(told.read_text())
    started = daemon._started(pid)
    starter.send_signal(signal.SIGKILL)
    starter.wait()
    wait_until(lambda: "runs" if daemon._started(pid) == started else None, what="its end", timeout=10)


def test_bound_program_is_run_and_named_like_any_other(tmp_path: Path) -> None:
    assert run([make_program(tmp_path / "tool", 'echo "$@"'), "a b", "c"], timeout=30, bound=True) == "a b c\n"
    with pytest.raises(ToolFailed) as failed:
        run([make_program(tmp_path / "bad", "exit 3"), "x"], timeout=30, bound=True)
    assert (failed.value.brief, failed.value.details.strip()) == ("bad failed with status 3", f"$ {tmp_path}/bad x")
