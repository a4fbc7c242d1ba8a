"""What a shell is offered: the real protocol between the shell's script and the program."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from sandbox.cli.app import COMMANDS
from tests.unit.cli.test_main import run


def offered(words: str, home: Path) -> list[str]:
    """The completions of the last word."""
    env = os.environ | {
        "_SANDBOX_COMPLETE": "bash_complete",
        "COMP_WORDS": words,
        "COMP_CWORD": str(len(words.split(" ")) - 1),
    }
    argv = [sys.executable, "-c", "import sys; sys.argv[0] = 'sandbox'; from sandbox.cli import main; main()"]
    found = subprocess.run(argv, env=env, cwd=home, capture_output=True, text=True, timeout=60, check=False)
    assert found.stderr == ""
    return [line.partition(",")[2] for line in found.stdout.splitlines()]


def test_commands_and_their_commands(isolated_home: Path) -> None:
    assert offered("sandbox ", isolated_home) == list(COMMANDS)
    assert offered("sandbox st", isolated_home) == [name for name in COMMANDS if name.startswith("st")]
    assert "show" in offered("sandbox certs s", isolated_home)
    assert "--plan" in offered("sandbox up --pl", isolated_home)


def test_mistyped_command_is_no_error_while_typing(isolated_home: Path) -> None:
    assert offered("sandbox nosuch ", isolated_home) == list(COMMANDS)


def test_names_of_what_there_is(isolated_home: Path) -> None:
    (isolated_home / "xdg_state_home" / "sandbox" / "sandboxes" / "demo").mkdir(parents=True)
    (isolated_home / "xdg_state_home" / "sandbox" / "certificates" / "old").mkdir(parents=True)
    assert offered("sandbox down ", isolated_home) == ["demo", "old"]
    assert offered("sandbox addons enable metr", isolated_home) == ["metrics-server"]
    assert offered("sandbox explain port-in", isolated_home) == ["port-in-use"]


def test_doctor_offers_subcommands_names_and_options(isolated_home: Path) -> None:
    (isolated_home / "xdg_state_home" / "sandbox" / "sandboxes" / "demo").mkdir(parents=True)
    assert offered("sandbox doctor ", isolated_home) == ["machine", "tls", "service", "pod", "network", "archive"]
    assert offered("sandbox doctor p", isolated_home) == ["pod"]
    assert "--fix" in offered("sandbox doctor --f", isolated_home)
    assert (
        offered("sandbox doctor -n ", isolated_home) == offered("sandbox doctor machine -n ", isolated_home) == ["demo"]
    )


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_gets_its_script(shell: str, tmp_path: Path) -> None:
    found = run("completion", shell, cwd=tmp_path)
    assert found.code == 0
    assert "_SANDBOX_COMPLETE" in found.stdout
    if shutil.which(shell):
        subprocess.run([shell, "-n", "-c", found.stdout], check=True, timeout=60)
