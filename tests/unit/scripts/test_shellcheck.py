"""What shellcheck says of every shell script, those that nodes and pods run among them."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
SHELL = re.compile(rb"#!.*\b(ba|da)?sh\b")
# To change this file is to build the node image again; what is not quoted there is a list of words.
KNOWN: dict[str, str] = {}


def scripts() -> list[str]:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [name for name in listed.splitlines() if is_shell(ROOT / name)]


def is_shell(path: Path) -> bool:
    if path.suffix == ".sh":
        return True
    if path.suffix or not path.is_file():
        return False
    with path.open("rb") as file:
        return SHELL.match(file.readline(100)) is not None


@pytest.mark.parametrize("name", scripts())
def test_script_has_no_warning_of_shellcheck(name: str) -> None:
    program = shutil.which("shellcheck")
    if program is None and os.environ.get("CI") != "true":
        pytest.skip("shellcheck is not installed: apt-get install shellcheck")
    assert program, "in CI shellcheck must be there: scripts/test installs it"
    argv = [program, "--severity=warning", f"--exclude={KNOWN.get(name, 'SC1091')}", "--format=gcc", name]
    found = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True)
    assert found.returncode == 0, found.stdout + found.stderr
