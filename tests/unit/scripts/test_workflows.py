"""Workflows and shell scripts: what workflows name exists, what they use is pinned, and shellcheck accepts all."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[3]
FILES = sorted((*ROOT.glob(".ci/*.yml"), *ROOT.glob(".github/workflows/*.yml")))
KEYS = {"name", "runs-on", "timeout-minutes", "strategy", "steps", "env", "if", "needs", "permissions"}
STEP_KEYS = {"name", "id", "if", "uses", "with", "run", "env", "shell", "working-directory"}
PATHS = re.compile(r"(?<![\w/.$~-])(?:\.ci|scripts|fixtures|tests)/[\w./-]+")
EXPRESSION = re.compile(r"\$\{\{.*?\}\}")


def steps(file: Path) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    for job in yaml.safe_load(file.read_text())["jobs"].values():
        for step in job["steps"]:
            yield job, step


@pytest.mark.security(7)
@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_workflow_has_only_what_github_knows_and_what_exists(file: Path) -> None:
    """An action by a tag, which can be moved → none."""
    workflow = yaml.safe_load(file.read_text())
    assert workflow["permissions"] == {"contents": "read"}
    assert True in workflow, "YAML 1.1 reads the key `on` as true"
    for job, step in steps(file):
        assert job.keys() <= KEYS and job["timeout-minutes"] <= 120
        assert step.keys() <= STEP_KEYS and ("run" in step) != ("uses" in step)
        for path in PATHS.findall(step.get("run", "").replace("$TESTS", "")):
            assert (ROOT / path).exists(), path
        for name in job.get("strategy", {}).get("matrix", {}).get("tests", ()):
            assert (ROOT / "tests" / "real" / name).exists(), name
    for line in file.read_text().splitlines():
        assert "uses:" not in line or re.search(r"uses: [\w/-]+@[0-9a-f]{40}  # v\d", line), line


def shellcheck(*words: str, script: str = "") -> None:
    program = shutil.which("shellcheck")
    if program is None and os.environ.get("CI") != "true":
        pytest.skip("shellcheck is not installed: apt-get install shellcheck")
    assert program, "in CI shellcheck must be there: scripts/test installs it"
    done = subprocess.run([program, *words], input=script, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("file", FILES, ids=lambda one: one.name)
def test_scripts_of_a_workflow_pass_shellcheck(file: Path) -> None:
    """What GitHub puts in before a shell runs must be in `env`: there it is data."""
    for _, step in steps(file):
        assert not EXPRESSION.search(step.get("run", "")), step["run"]
        shellcheck("--shell=bash", "-", script=f"#!/bin/bash\n{step.get('run', '')}\n")


def shell_scripts() -> list[str]:
    """Every shell script, those that nodes and pods run among them."""
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [name for name in listed.splitlines() if is_shell(ROOT / name)]


def is_shell(path: Path) -> bool:
    if path.suffix or not path.is_file():
        return path.suffix == ".sh"
    with path.open("rb") as file:
        return re.match(rb"#!.*\b(ba|da)?sh\b", file.readline(100)) is not None


@pytest.mark.parametrize("name", shell_scripts())
def test_script_has_no_warning_of_shellcheck(name: str) -> None:
    shellcheck("--severity=warning", "--exclude=SC1091", "--format=gcc", name)
