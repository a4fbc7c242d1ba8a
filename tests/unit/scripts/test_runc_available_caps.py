"""The OCI runtime shim: which file it reads for which command line, what it drops, and what runc is left to see."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

SCRIPT = Path(__file__).parents[3] / "scripts" / "runc-available-caps"
EVERY = 2**41 - 1  # the mask of capabilities 0 to 40, CAP_CHECKPOINT_RESTORE
WITHOUT_RESOURCE = EVERY & ~(1 << 24)
PRIVILEGED = ["CAP_SYS_TIME", "CAP_SYS_RESOURCE", "CAP_CHOWN", "CAP_NEWER_THAN_THIS_SCRIPT", "CAP_SYS_ADMIN"]
KEPT = ["CAP_SYS_TIME", "CAP_CHOWN", "CAP_NEWER_THAN_THIS_SCRIPT", "CAP_SYS_ADMIN"]


def load() -> ModuleType:
    loader = SourceFileLoader("runc_available_caps", str(SCRIPT))
    spec = spec_from_loader(loader.name, loader)
    assert spec is not None
    module = module_from_spec(spec)
    # The script has no suffix; a compiled file next to it would be litter.
    writing, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    try:
        loader.exec_module(module)
    finally:
        sys.dont_write_bytecode = writing
    return module


shim = load()


def process(capabilities: list[str]) -> dict[str, Any]:
    kinds = ("bounding", "effective", "inheritable", "permitted", "ambient")
    return {"args": ["/bin/größe"], "user": {"uid": 0}, "capabilities": {kind: list(capabilities) for kind in kinds}}


def written(path: Path, document: object) -> Path:
    path.write_text(json.dumps(document))
    return path


@pytest.mark.parametrize(
    ("bounding", "names"),
    [
        (EVERY, set()),
        (WITHOUT_RESOURCE, {"CAP_SYS_RESOURCE"}),
        (EVERY & ~(1 << 40) & ~1, {"CAP_CHOWN", "CAP_CHECKPOINT_RESTORE"}),
        (EVERY | 1 << 41, set()),
    ],
)
def test_missing_names_the_bits_that_are_not_set(bounding: int, names: set[str]) -> None:
    assert shim.missing(bounding) == names


def test_bundle_drops_missing_capabilities_and_keeps_order(tmp_path: Path) -> None:
    limits = {"linux": {"resources": {"memory": {"limit": 2**63 - 1}}}}
    config = written(tmp_path / "config.json", {"ociVersion": "1.0.2", "process": process(PRIVILEGED), **limits})
    config.chmod(0o640)

    shim.drop(str(config), shim.missing(WITHOUT_RESOURCE))

    assert json.loads(config.read_text()) == {"ociVersion": "1.0.2", "process": process(KEPT), **limits}
    assert config.stat().st_mode & 0o777 == 0o640


def test_an_exec_process_file_is_a_process_itself(tmp_path: Path) -> None:
    file = written(tmp_path / "process.json", process(PRIVILEGED))
    shim.drop(str(file), shim.missing(WITHOUT_RESOURCE))
    assert json.loads(file.read_text()) == process(KEPT)


@pytest.mark.parametrize(
    "document",
    [
        {"process": process(KEPT)},
        process(KEPT),
        {"process": {"args": ["sh"]}},
        {"process": {"args": ["sh"], "capabilities": None}},
        {"process": {"args": ["sh"], "capabilities": {"ambient": None, "bounding": []}}},
        {"process": None},
        {},
    ],
)
def test_a_file_with_nothing_to_drop_is_not_touched(tmp_path: Path, document: object) -> None:
    file = tmp_path / "config.json"
    file.write_text(json.dumps(document, indent=3) + "\n")
    os.utime(file, ns=(1, 1))
    before = file.read_bytes()

    shim.drop(str(file), shim.missing(WITHOUT_RESOURCE))

    assert file.read_bytes() == before
    assert file.stat().st_mtime_ns == 1


@pytest.mark.parametrize(
    ("command_line", "path"),
    [
        ("--root /run/x --log /l --log-format json create --bundle /b --pid-file /p --no-pivot id", "/b/config.json"),
        ("--log=/l --debug --systemd-cgroup run -b /b id", "/b/config.json"),
        ("--systemd-cgroup --log /l run --detach --bundle=/b id", "/b/config.json"),
        ("create id", "./config.json"),
        ("exec --process /p --detach --pid-file /f id", "/p"),
        ("exec -t -d -p /p id", "/p"),
        ("exec id prog --process /not-ours", None),
        ("exec --cap CAP_CHOWN id create --bundle /b", None),
        ("--root /create delete --force create", None),
        ("--root create state run", None),
        ("--version", None),
        ("", None),
    ],
)
def test_the_file_is_found_as_runc_would_read_its_command_line(command_line: str, path: str | None) -> None:
    assert shim.process_file(command_line.split()) == path


@pytest.mark.parametrize(
    ("content", "evidence"),
    [
        (None, "cannot read"),
        (b"{", "is not JSON"),
        (b"\xff", "is not JSON"),
        (b"7", "does not describe a process"),
        (b'{"process": {"capabilities": ["CAP_CHOWN"]}}', "does not describe a process"),
    ],
)
def test_a_malformed_bundle_is_named(tmp_path: Path, content: bytes | None, evidence: str) -> None:
    config = tmp_path / "config.json"
    if content is not None:
        config.write_bytes(content)
    with pytest.raises(shim.BadBundle, match=evidence) as raised:
        shim.drop(str(config), {"CAP_CHOWN"})
    assert str(config) in str(raised.value)


def run(tmp_path: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the script with, for runc, a program that prints its arguments."""
    runc = tmp_path / "runc"
    runc.write_text('#!/bin/sh\necho "$@"\nexit 3\n')
    runc.chmod(0o755)
    command = [sys.executable, "-IS", str(SCRIPT), *arguments]
    return subprocess.run(command, env={"PATH": str(tmp_path)}, capture_output=True, text=True, timeout=60)


def test_wrapper_execs_runc_with_the_same_arguments(tmp_path: Path) -> None:
    config = written(tmp_path / "config.json", {"process": process(PRIVILEGED)})
    done = run(tmp_path, "create", "--bundle", str(tmp_path), "id")

    assert (done.returncode, done.stdout, done.stderr) == (3, f"create --bundle {tmp_path} id\n", "")
    left = json.loads(config.read_text())["process"]["capabilities"]["bounding"]
    assert left == [name for name in PRIVILEGED if name not in shim.missing(shim.bounding_set())]


def test_a_failure_is_in_the_log_that_the_engine_reads(tmp_path: Path) -> None:
    log = tmp_path / "log.json"
    (tmp_path / "empty").mkdir()
    command = [sys.executable, "-IS", str(SCRIPT), "--log", str(log), "--log-format", "json", "state", "id"]
    environment = {"PATH": str(tmp_path / "empty")}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)

    assert done.returncode == 1
    assert "cannot run runc: No such file or directory" in done.stderr
    entry = json.loads(log.read_text())
    assert (entry["level"], entry["msg"]) == ("error", "cannot run runc: No such file or directory")
