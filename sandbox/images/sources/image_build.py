"""Images the Docker Engine builds from a folder; once built they are images of the engine like any other."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from sandbox.engine import EngineError
from sandbox.errors import MissingTool, SandboxError, UsageError
from sandbox.images.build_order import bases, waves
from sandbox.images.images_yaml import Entry, FromBuild, FromDaemon
from sandbox.images.sources.image_source import Daemon
from sandbox.oci.reference import Target
from sandbox.system import process
from sandbox.system.process import ToolFailed

VERSION_TIMEOUT, BUILD_TIMEOUT = 30.0, 3600.0  # seconds
BUILDS_AT_ONCE = 4
MAX_LINES = 40  # of a failed step
_RULE = "------"
# A step of BuildKit that pulls something, and why it did not, in Go's words.
_UNREACHED = re.compile(r"failed to do request: .*(?:no such host|timeout|refused|unreachable|deadline|EOF|reset)")
# What buildx says last when it lost the engine; lines of a step have its number before them.
_GONE = re.compile(r"^ERROR: .*(?:error during connect|Cannot connect to the Docker daemon|code = Unavailable)", re.M)
# The step that pulls what reads the Dockerfile, which a line `# syntax=` names.
_FRONTEND = "resolve image config for "
# Leaves out the record of when and from which commit buildx built. In containerd's image store it is part of the
# image, so that each build of unchanged files would be another image, and would replace pods.
UNRECORDED = {"BUILDX_NO_DEFAULT_ATTESTATIONS": "1", "BUILDX_GIT_INFO": "false"}
INSTALL = "install BuildKit for the docker CLI (docker-buildx), or sandbox bundle build buildx; it also builds faster"

log = logging.getLogger(__name__)


def build_all(
    entries: Sequence[FromBuild], daemon: Daemon, say: Callable[[str], None], buildx: Path | None = None
) -> dict[Target, FromDaemon | SandboxError]:
    """Build images, several at a time, each one after the images that its Dockerfile begins with."""
    results: dict[Target, FromDaemon | SandboxError] = {}

    def outcome(entry: FromBuild) -> FromDaemon | SandboxError:
        try:
            return build(entry, daemon, say, buildx)
        except SandboxError as error:
            return error

    pool = ThreadPoolExecutor(BUILDS_AT_ONCE, thread_name_prefix="build")
    try:
        for wave in waves(entries):
            try:
                with named_bases(wave, entries, daemon):
                    results |= zip([entry.target for entry in wave], pool.map(outcome, wave), strict=True)
            except SandboxError as error:
                results |= {entry.target: error for entry in wave}
    except BaseException:  # interrupted: the builds are in their own process groups and got no signal
        pool.shutdown(wait=False, cancel_futures=True)
        process.end_all()
        raise
    pool.shutdown()
    return results


@contextmanager
def named_bases(building: Sequence[FromBuild], entries: Sequence[Entry], daemon: Daemon) -> Iterator[None]:
    """Give images of `entries` the names that the Dockerfiles of `building` have for them, for the block.

    Raises EngineError where the user's own image has such a name.
    """
    made_from, added = bases(entries), list[str]()
    needed = frozenset[Target]().union(*(made_from.get(entry.target, ()) for entry in building))
    try:
        for base in (entry for entry in entries if isinstance(entry, FromBuild) and entry.target in needed):
            name = str(base.target)
            image, same_name = daemon.inspect_image(base.engine_name), daemon.inspect_image(name)
            if image and same_name is None:
                daemon.tag(base.engine_name, name)
                added.append(name)
            elif image and same_name and same_name["Id"] != image["Id"]:
                raise EngineError(
                    f"the engine has another image called {name} than the one that images.yaml builds",
                    details=f"{', '.join(str(entry.target) for entry in building)} would be made from that one",
                    fix=f"write another `as:` in images.yaml, and in the Dockerfile; or: docker image rm {name}",
                )
        yield
    finally:
        for name in added:
            daemon.remove_image(name)


def build(entry: FromBuild, daemon: Daemon, say: Callable[[str], None], buildx: Path | None = None) -> FromDaemon:
    """Build an image by BuildKit if the docker CLI or `buildx` has it, else by the engine, as always with Podman."""
    name = str(entry.target)
    if not entry.context.is_dir():
        raise UsageError(
            f"there is no folder {entry.context}", details=f"the context of {name}", fix="correct `context:`"
        )
    say(name)
    if daemon.is_podman:
        _build_by_engine(entry, daemon, "push it `from: daemon`, after podman build")
    elif buildkit := ("docker", "buildx") if has_buildkit() else (buildx,) if buildx else ():
        try:
            process.run(
                [*buildkit, *arguments(entry)],
                timeout=BUILD_TIMEOUT,
                cwd=entry.folder,
                env=UNRECORDED,
                on_line=lambda line: say(f"{name}: {line.strip()}") if line.strip() else None,
            )
        except ToolFailed as error:
            raise EngineError(
                f"building {name} from {entry.context} failed",
                details=failed_step(error.output) or error.details,
                fix=_fix(error.output),
            ) from error
        # The BuildKit of older engines does not record when it gave the name.
        daemon.tag(entry.engine_name, entry.engine_name)
    else:
        log.warning("%s is built by the engine's legacy builder: %s", name, INSTALL)
        _build_by_engine(entry, daemon, INSTALL)
    return FromDaemon(entry.target, entry.engine_name, entry.platforms)


@cache
def has_buildkit() -> bool:
    try:
        process.run(["docker", "buildx", "version"], timeout=VERSION_TIMEOUT)
    except (MissingTool, ToolFailed):
        return False
    return True


def arguments(entry: FromBuild) -> list[str | Path]:
    context = entry.context.resolve()
    argv: list[str | Path] = ["build", "--load", "--progress=plain", f"--tag={entry.engine_name}"]
    if entry.dockerfile:
        argv.append(f"--file={context / entry.dockerfile}")
    if entry.stage:
        argv.append(f"--target={entry.stage}")
    if entry.platforms:
        argv.append(f"--platform={','.join(entry.platforms)}")
    argv += [f"--build-arg={name}={value}" for name, value in entry.args]
    argv += [f"--secret={value}" for value in entry.secrets]
    argv += [f"--ssh={value}" for value in entry.ssh]
    argv += [f"--cache-from={value}" for value in entry.cache_from]
    argv += [f"--cache-to={value}" for value in entry.cache_to]
    return [*argv, "--", context]


def _fix(output: str) -> str:
    if _GONE.search(output):
        return "the engine went away: when `docker version` shows it again, run the command again"
    if not _UNREACHED.search(output):
        return "correct its Dockerfile, its context or its keys in images.yaml, then run the command again"
    if _FRONTEND in output:
        return "remove the line `# syntax=…` of its Dockerfile, or let the engine reach the registry of that image"
    return (
        "let the engine reach that registry (network, proxy, docker login), or use a base image that it has, such as "
        "one of images.yaml; then run the command again"
    )


def failed_step(output: str) -> str:
    lines = output.splitlines()
    starts = [at for at, line in enumerate(lines[:-1]) if line == _RULE and lines[at + 1].startswith(" > ")]
    return process.last_lines("\n".join(lines[starts[-1] + 1 :]), MAX_LINES) if starts else ""


def _build_by_engine(entry: FromBuild, daemon: Daemon, fix: str) -> None:
    name = str(entry.target)
    if entry.secrets or entry.ssh or entry.cache_to:
        raise EngineError(f"building {name} needs BuildKit", details="secrets, ssh or cache_to", fix=fix)
    options = {
        "dockerfile": entry.dockerfile,
        "args": dict(entry.args),
        "stage": entry.stage,
        "cache_from": list(entry.cache_from),
    }
    try:
        daemon.build(entry.context, entry.engine_name, **{key: value for key, value in options.items() if value})
    except SandboxError as error:
        error.brief = error.brief.replace(entry.engine_name, name)
        if "BuildKit" in error.details:
            error.fix = fix
        raise
