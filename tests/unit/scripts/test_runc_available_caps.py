"""The OCI runtime shim: which file it reads for which command line, what it drops, and what runc is left to see."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.support.programs import make_program
from tests.support.project_folder import write

SCRIPT = Path(__file__).parents[3] / "scripts" / "runc-available-caps"
EVERY = 2**41 - 1  # the mask of capabilities 0 to 40, CAP_CHECKPOINT_RESTORE
WITHOUT_RESOURCE = EVERY & ~(1 << 24)
PRIVILEGED = ["CAP_CHOWN", "CAP_SYS_ADMIN", "CAP_SYS_RESOURCE", "CAP_CHECKPOINT_RESTORE", "CAP_NEWER_THAN_THIS_SCRIPT"]


@pytest.fixture
def shim(tmp_path: Path) -> Path:
    """A folder with a runc that prints nothing."""
    make_program(tmp_path / "bin" / "runc", "exit 3")
    return tmp_path


def run(folder: Path, *arguments: str, bounding: int = WITHOUT_RESOURCE) -> None:
    """Run a copy of the script that takes its bounding set from a file."""
    (folder / "status").write_text(f"Name:\tsh\nCapEff:\t{0:016x}\nCapBnd:\t{bounding:016x}\nCapAmb:\t{0:016x}\n")
    script = SCRIPT.read_text().replace("/proc/self/status", str(folder / "status"))
    environment = {"PATH": f"{folder}/bin:{os.defpath}"}
    command = ["/bin/sh", str(make_program(folder / "shim", script)), *arguments]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (3, "")


def process(capabilities: list[str]) -> dict[str, Any]:
    sets = dict.fromkeys(("bounding", "effective", "inheritable", "permitted", "ambient"), capabilities)
    return {"args": ["/bin/größe"], "user": {"uid": 0}, "capabilities": sets, "cwd": "/"}


@pytest.mark.parametrize(
    ("bounding", "names"),
    [
        (EVERY, set()),
        (WITHOUT_RESOURCE, {"CAP_SYS_RESOURCE"}),
        (EVERY & ~(1 << 40) & ~1, {"CAP_CHOWN", "CAP_CHECKPOINT_RESTORE"}),
        (EVERY | 1 << 41, set()),
    ],
)
def test_bundle_loses_missing_capabilities_and_keeps_order(shim: Path, bounding: int, names: set[str]) -> None:
    limits = {"linux": {"resources": {"memory": {"limit": 2**63 - 1}}}}
    config = shim / "config.json"
    config.write_text(json.dumps({"ociVersion": "1.0.2", "process": process(PRIVILEGED), **limits}))
    config.chmod(0o640)
    inode = config.stat().st_ino
    run(shim, "create", "--bundle", str(shim), "id", bounding=bounding)
    left = process([name for name in PRIVILEGED if name not in names])
    assert json.loads(config.read_text()) == {"ociVersion": "1.0.2", "process": left, **limits}
    assert (config.stat().st_mode & 0o777, config.stat().st_ino) == (0o640, inode)


@pytest.mark.parametrize(
    ("command_line", "path"),
    [
        ("--root /run/x --log l --log-format json create --bundle b --pid-file /p --no-pivot id", "b/config.json"),
        ("--log=l --debug --systemd-cgroup run -b b id", "b/config.json"),
        ("create id", "config.json"),
        ("exec --process p --detach --pid-file /f id", "p"),
        ("exec --env --process -p p id", "p"),
        ("exec id prog --process p", None),
        ("--root create delete --force create", None),
        ("--version", None),
    ],
)
def test_file_is_found_as_runc_reads_its_command_line(shim: Path, command_line: str, path: str | None) -> None:
    files = ["b/config.json", "c/config.json", "config.json", "p"]
    before = json.dumps(process(PRIVILEGED))
    write(shim, dict.fromkeys(files, before))
    run(shim, *command_line.split())
    assert [name for name in files if (shim / name).read_text() != before] == ([path] if path else [])
