"""The shell before a program: in the objects, and as it works."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

from sandbox.components.workloads.restart import NAME, SUPERVISOR, Program, is_supervised, supervised

IMAGE = Program(("python",), ("app.py",))


def pod(**container: Any) -> dict[str, Any]:
    return {"kind": "Pod", "metadata": {"name": "a"}, "spec": {"containers": [{"image": "a", **container}]}}


@pytest.mark.parametrize(
    ("container", "words"),
    [
        ({}, ["python", "app.py"]),
        ({"args": ["b.py"]}, ["python", "b.py"]),
        ({"command": ["node"]}, ["node"]),
        ({"command": ["node"], "args": ["c.js"]}, ["node", "c.js"]),
    ],
)
def test_the_program_of_a_container_runs_below_the_shell(container: dict[str, Any], words: list[str]) -> None:
    manifest = pod(**container)
    (made,) = supervised(manifest, {"a": IMAGE})["spec"]["containers"]
    assert made["command"] == ["sh", "-c", SUPERVISOR, NAME, *words]
    assert "args" not in made
    assert is_supervised(made)
    assert not is_supervised(manifest["spec"]["containers"][0])


def test_containers_of_other_images_stay_as_they_are() -> None:
    assert supervised(pod(), {"b": IMAGE}) == pod()
    assert supervised({"kind": "Service", "metadata": {}}, {"a": IMAGE}) == {"kind": "Service", "metadata": {}}


def test_a_hangup_starts_the_program_again() -> None:
    program = "echo begins; exec sleep 60"
    with subprocess.Popen(
        ["sh", "-c", SUPERVISOR, NAME, "sh", "-c", program], stdout=subprocess.PIPE, text=True, encoding="utf-8"
    ) as shell:
        assert shell.stdout is not None
        assert shell.stdout.readline() == "begins\n"
        os.kill(shell.pid, signal.SIGHUP)
        assert shell.stdout.readline() == "begins\n"
        os.kill(shell.pid, signal.SIGTERM)
        assert shell.wait(10) == 128 + signal.SIGTERM


@pytest.mark.parametrize(("number", "code"), [(signal.SIGHUP, 0), (signal.SIGTERM, 128 + signal.SIGTERM)])
def test_a_signal_right_after_the_start_is_not_lost(number: signal.Signals, code: int, tmp_path: Path) -> None:
    late = SUPERVISOR.replace("child=$!", "sleep 0.2; child=$!")  # as on a busy machine
    program = f"mkdir {tmp_path}/ran 2>/dev/null || exit 0; kill -{int(number)} $PPID; exec sleep 60"
    assert subprocess.run(["sh", "-c", late, NAME, "sh", "-c", program], check=False, timeout=20).returncode == code


def test_the_end_of_the_program_is_the_end_of_the_shell() -> None:
    done = subprocess.run(["sh", "-c", SUPERVISOR, NAME, "sh", "-c", "exit 7"], check=False)
    assert done.returncode == 7
