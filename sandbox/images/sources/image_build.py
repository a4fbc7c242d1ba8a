"""Images the Docker Engine builds from a folder; once built they are images of the engine like any other."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection
from functools import cache
from pathlib import Path

from sandbox.engine import EngineError
from sandbox.engine.engine_images import build_context
from sandbox.errors import MissingTool, SandboxError, UsageError
from sandbox.images.images_yaml import FromBuild, FromDaemon
from sandbox.images.sources.image_source import Daemon
from sandbox.system import process
from sandbox.system.process import ToolFailed

QUICK, LONGEST = 30.0, 3600.0
INSTALL = "install BuildKit for the docker CLI (docker-buildx), which also builds faster"

log = logging.getLogger(__name__)


def build(entry: FromBuild, daemon: Daemon, told: Callable[[str], None]) -> FromDaemon:
    """Build it under its target's name and give the entry to go on with; `told` hears what is done.

    BuildKit builds it where the docker CLI has it, else the engine's legacy builder. Raises SandboxError.
    """
    name = str(entry.target)
    if not entry.context.is_dir():
        raise UsageError(
            f"there is no folder {entry.context}", details=f"the context of {entry.target}", fix="correct `context:`"
        )
    told(name)
    if has_buildkit():
        _by_buildkit(entry, name, told)
    else:
        _by_the_legacy_builder(entry, name, daemon)
    return FromDaemon(entry.target, name)


@cache
def has_buildkit() -> bool:
    """Tell whether the docker CLI can build by BuildKit, which is its plugin buildx."""
    try:
        process.run(["docker", "buildx", "version"], timeout=QUICK)
    except (MissingTool, ToolFailed):
        return False
    return True


def arguments(entry: FromBuild) -> list[str | Path]:
    """Return the command line that builds an image and loads it into the engine, whichever builder is chosen."""
    context = entry.context.resolve()
    argv: list[str | Path] = ["docker", "buildx", "build", "--load", "--progress=plain", f"--tag={entry.target}"]
    if entry.dockerfile:
        argv.append(f"--file={context / entry.dockerfile}")
    if entry.stage:
        argv.append(f"--target={entry.stage}")
    if entry.platforms:
        argv.append(f"--platform={','.join(entry.platforms)}")
    argv += [f"--build-arg={name}={value}" for name, value in entry.args]
    for option in ("secret", "ssh", "cache-from", "cache-to"):
        values = entry.secrets if option == "secret" else getattr(entry, option.replace("-", "_"))
        argv += [f"--{option}={value}" for value in values]
    return [*argv, "--", context]


def _by_buildkit(entry: FromBuild, name: str, told: Callable[[str], None]) -> None:
    try:
        process.run(
            arguments(entry), timeout=LONGEST, cwd=entry.folder, on_line=lambda line: told(f"{name}: {line.strip()}")
        )
    except ToolFailed as error:
        raise EngineError(f"building {name} from {entry.context} failed", details=error.details) from error


def _by_the_legacy_builder(entry: FromBuild, name: str, daemon: Daemon) -> None:
    if entry.secrets or entry.ssh or entry.cache_to:
        raise EngineError(f"building {name} needs BuildKit", details="secrets, ssh or cache_to", fix=INSTALL)
    log.warning("%s is built by the engine's legacy builder: %s", name, INSTALL)
    wanted = {
        "dockerfile": entry.dockerfile,
        "args": dict(entry.args),
        "stage": entry.stage,
        "cache_from": list(entry.cache_from),
    }
    try:
        daemon.build(entry.context, name, **{key: value for key, value in wanted.items() if value})
    except SandboxError as error:
        if "BuildKit" in error.details:
            error.fix = INSTALL
        raise


def newer_file(context: Path, when: float, without: Collection[Path] = ()) -> str | None:
    """Find a file or folder of the context that was written, moved or deleted from after `when` (seconds).

    The files `without` are left out, and what git keeps for itself, which changes without the files that are built.
    """
    for name in sorted(build_context(context)) if context.is_dir() else ():
        if name.partition("/")[0] != ".git" and context / name not in without:
            try:
                changed = (context / name).lstat().st_ctime
            except OSError:  # gone meanwhile
                return name
            if changed > when:
                return name
    return None
