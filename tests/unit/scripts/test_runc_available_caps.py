"""The OCI runtime shim: which file it reads for which command line, what it drops, and what runc is left to see."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.support.programs import make_program

SCRIPT = Path(__file__).parents[3] / "scripts" / "runc-available-caps"
STATUS = "/proc/self/status"
EVERY = 2**41 - 1  # the mask of capabilities 0 to 40, CAP_CHECKPOINT_RESTORE
SYS_RESOURCE = 1 << 24
WITHOUT_RESOURCE = EVERY & ~SYS_RESOURCE
PRIVILEGED = ["CAP_SYS_TIME", "CAP_SYS_RESOURCE", "CAP_CHOWN", "CAP_NEWER_THAN_THIS_SCRIPT", "CAP_SYS_ADMIN"]
KEPT = ["CAP_SYS_TIME", "CAP_CHOWN", "CAP_NEWER_THAN_THIS_SCRIPT", "CAP_SYS_ADMIN"]
Done = subprocess.CompletedProcess[str]
KINDS = ("bounding", "effective", "inheritable", "permitted", "ambient")


@dataclass(frozen=True)
class Shim:
    """A copy of the script that takes its bounding set from a file, and a runc that prints its arguments."""

    folder: Path

    def run(self, *arguments: str, bounding: int = WITHOUT_RESOURCE) -> Done:
        status = self.folder / "status"
        status.write_text(f"Name:\tsh\nCapEff:\t{0:016x}\nCapBnd:\t{bounding:016x}\nCapAmb:\t{0:016x}\n")
        script = self.folder / "shim"
        script.write_text(SCRIPT.read_text().replace(STATUS, str(status)))
        environment = {"PATH": f"{self.folder}/bin:{os.defpath}"}
        command = ["/bin/sh", str(script), *arguments]
        return subprocess.run(command, cwd=self.folder, env=environment, capture_output=True, text=True, timeout=60)

    def left_of(self, text: str, bounding: int = WITHOUT_RESOURCE) -> str:
        file = self.folder / "process.json"
        file.write_text(text)
        done = self.run("exec", "--process", str(file), "id", bounding=bounding)
        assert (done.returncode, done.stderr) == (3, "")
        return file.read_text()


@pytest.fixture
def shim(tmp_path: Path) -> Shim:
    make_program(tmp_path / "bin" / "runc", 'printf "%s\\0" "$@"\nexit 3')
    return Shim(tmp_path)


def process(capabilities: list[str], args: Sequence[str] = ("/bin/größe",)) -> dict[str, Any]:
    sets = dict.fromkeys(KINDS, capabilities)
    return {"args": list(args), "user": {"uid": 0}, "capabilities": sets, "cwd": "/"}


@pytest.mark.parametrize(
    ("bounding", "names"),
    [
        (EVERY, set()),
        (WITHOUT_RESOURCE, {"CAP_SYS_RESOURCE"}),
        (EVERY & ~(1 << 40) & ~1, {"CAP_CHOWN", "CAP_CHECKPOINT_RESTORE"}),
        (EVERY | 1 << 41, set()),
    ],
)
def test_bits_that_are_not_set_name_what_is_dropped(shim: Shim, bounding: int, names: set[str]) -> None:
    every = ["CAP_CHOWN", "CAP_NET_ADMIN", "CAP_SYS_ADMIN", "CAP_SYS_RESOURCE", "CAP_CHECKPOINT_RESTORE", "CAP_41"]
    left = json.loads(shim.left_of(json.dumps(process(every)), bounding))
    assert left == process([name for name in every if name not in names])


def test_bundle_loses_missing_capabilities_and_keeps_order(shim: Shim) -> None:
    limits = {"linux": {"resources": {"memory": {"limit": 2**63 - 1}}}}
    config = shim.folder / "config.json"
    config.write_text(json.dumps({"ociVersion": "1.0.2", "process": process(PRIVILEGED), **limits}))
    config.chmod(0o640)
    inode = config.stat().st_ino
    assert shim.run("create", "--bundle", str(shim.folder), "id").returncode == 3
    assert json.loads(config.read_text()) == {"ociVersion": "1.0.2", "process": process(KEPT), **limits}
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
def test_file_is_found_as_runc_reads_its_command_line(shim: Shim, command_line: str, path: str | None) -> None:
    files = ["b/config.json", "c/config.json", "config.json", "p"]
    for name in files:
        file = shim.folder / name
        file.parent.mkdir(exist_ok=True)
        file.write_text(json.dumps(process(PRIVILEGED)))

    done = shim.run(*command_line.split())

    assert (done.returncode, done.stderr) == (3, "")
    edited = [name for name in files if json.loads((shim.folder / name).read_text()) == process(KEPT)]
    assert edited == ([path] if path else [])
