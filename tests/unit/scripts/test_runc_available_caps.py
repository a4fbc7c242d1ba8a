"""The OCI runtime shim: which file it reads for which command line, what it drops, and what runc is left to see."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from tests.support.programs import make_program
from tests.support.project_folder import write

SCRIPT = Path(__file__).parents[3] / "scripts" / "runc-available-caps"
KEPT = ["CAP_SYS_TIME", "CAP_NEWER_THAN_THIS_SCRIPT", "CAP_SYS_ADMIN"]
PRIVILEGED = ["CAP_CHOWN", "CAP_SYS_TIME", "CAP_SYS_RESOURCE", *KEPT[1:], "CAP_CHECKPOINT_RESTORE"]


def process(capabilities: list[str]) -> str:
    sets = dict.fromkeys(("bounding", "effective", "inheritable", "permitted", "ambient"), capabilities)
    return json.dumps({"process": {"args": ["/bin/größe"], "capabilities": sets}, "memory": 2**63 - 1})


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
def test_file_of_the_command_line_loses_missing_capabilities(
    tmp_path: Path, command_line: str, path: str | None
) -> None:
    """A bounding set without bits 0, 24 and 40 → their names go, in place; all else keeps its order."""
    files = ["b/config.json", "c/config.json", "config.json", "p"]
    write(tmp_path, dict.fromkeys(files, process(PRIVILEGED)))
    inodes = {name: (tmp_path / name).stat().st_ino for name in files}
    bounding = 2**41 - 1 & ~(1 | 1 << 24 | 1 << 40)
    write(tmp_path, {"status": f"CapEff:\t{0:016x}\nCapBnd:\t{bounding:016x}\nCapAmb:\t{0:016x}\n"})
    shim = make_program(tmp_path / "shim", SCRIPT.read_text().replace("/proc/self/status", f"{tmp_path}/status"))
    make_program(tmp_path / "bin" / "runc", "exit 3")
    environment = {"PATH": f"{tmp_path}/bin:{os.defpath}"}
    argv = ["/bin/sh", str(shim), *command_line.split()]
    done = subprocess.run(argv, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (3, "")
    left = {name: json.loads((tmp_path / name).read_text()) for name in files}
    edited = [name for name, content in left.items() if content == json.loads(process(KEPT))]
    assert edited == ([path] if path else [])
    assert inodes == {name: (tmp_path / name).stat().st_ino for name in files}
