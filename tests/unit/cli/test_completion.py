"""What a shell is offered, and the script that asks for it."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from click.shell_completion import BashComplete

from sandbox.app import context
from sandbox.cli.app import COMMANDS, sandbox
from tests.unit.cli.test_main import run


def offered(words: str) -> list[str]:
    """Return the completions of the last word."""
    *before, last = words.split(" ")
    complete = BashComplete(sandbox, {}, "sandbox", "_SANDBOX_COMPLETE")
    return [item.value for item in complete.get_completions(before, last)]


def test_commands_and_their_commands() -> None:
    assert offered("") == list(COMMANDS)
    assert offered("st") == [name for name in COMMANDS if name.startswith("st")]
    assert "show" in offered("certs s")
    assert "--plan" in offered("up --pl")
    assert offered("nosuch ") == list(COMMANDS), "a mistyped command is no error while typing"


def test_names_of_sandboxes_addons_and_errors() -> None:
    home = context.home()
    home.sandbox("demo").folder.mkdir(parents=True)
    home.sandbox("old").keys.mkdir(parents=True)
    assert offered("down ") == ["demo", "old"]
    assert offered("addons enable metr") == ["metrics-server"]
    assert offered("explain port-in") == ["port-in-use"]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_gets_its_script(shell: str, tmp_path: Path) -> None:
    printed = run("completion", shell, cwd=tmp_path)
    assert printed.code == 0
    assert "_SANDBOX_COMPLETE" in printed.stdout
    if shutil.which(shell):
        subprocess.run([shell, "-n", "-c", printed.stdout], check=True, timeout=60)
