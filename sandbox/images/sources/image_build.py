"""Images the Docker Engine builds from a folder; once built they are images of the engine like any other."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from sandbox.engine import Engine, EngineError
from sandbox.errors import MissingTool, SandboxError, UsageError
from sandbox.images.build_order import bases, waves
from sandbox.images.images_yaml import Entry, FromBuild, FromDaemon
from sandbox.oci.reference import Target
from sandbox.system import process
from sandbox.system.process import ToolFailed

VERSION_TIMEOUT, BUILD_TIMEOUT = 30.0, 3600.0  # seconds
BUILDS_AT_ONCE = 4
SHOWN = 25  # last lines of a failed build: BuildKit repeats the step that failed
FIX = "correct what the builder reports, then run the command again"
LEGACY = "; for secrets, ssh, cache_to and mounts install BuildKit: docker-buildx, or sandbox bundle build buildx"
ENVIRONMENT = {
    "BUILDKIT_PROGRESS": "plain",
    # Leaves out the record of when and from which commit buildx built. In containerd's image store it is part of the
    # image, so that each build of unchanged files would be another image, and would replace pods.
    "BUILDX_NO_DEFAULT_ATTESTATIONS": "1",
    "BUILDX_GIT_INFO": "false",
}


def build_all(
    entries: Sequence[FromBuild], daemon: Engine, say: Callable[[str], None], buildx: Path | None = None
) -> dict[Target, FromDaemon | SandboxError]:
    """Build images, several at a time, each one after the images that its Dockerfile names."""
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
def named_bases(building: Sequence[FromBuild], entries: Sequence[Entry], daemon: Engine) -> Iterator[None]:
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


def build(entry: FromBuild, daemon: Engine, say: Callable[[str], None], buildx: Path | None = None) -> FromDaemon:
    """Build an image by BuildKit if the docker CLI or `buildx` has it, else by the legacy `docker build`."""
    name = str(entry.target)
    if not entry.context.is_dir():
        raise UsageError(
            f"there is no folder {entry.context}", details=f"the context of {name}", fix="correct `context:`"
        )
    say(name)
    run_builder(entry, daemon, say, buildx)
    # The BuildKit of older engines does not record when it gave the name.
    daemon.tag(entry.engine_name, entry.engine_name)
    return FromDaemon(entry.target, entry.engine_name, entry.platforms)


def run_builder(entry: FromBuild, daemon: Engine, say: Callable[[str], None], buildx: Path | None) -> None:
    builder: list[str | Path] = ["docker", "build"]
    if not daemon.is_podman and has_buildkit():
        builder = ["docker", "buildx", "build", "--load"]
    elif not daemon.is_podman and buildx:
        builder = [buildx, "build", "--load"]
    context = entry.context.resolve()
    argv = [*builder, f"--tag={entry.engine_name}"]
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
    try:
        process.run(
            [*argv, "--", context],
            timeout=BUILD_TIMEOUT,
            cwd=entry.folder,
            # Podman does not speak BuildKit's protocol.
            env={**ENVIRONMENT, **({"DOCKER_BUILDKIT": "0"} if daemon.is_podman else {})},
            on_line=lambda line: say(f"{entry.target}: {line.strip()}") if line.strip() else None,
        )
    except MissingTool as error:
        error.fix = "install the docker CLI, or build the image by another tool and push it `from: daemon`"
        raise
    except ToolFailed as error:
        raise EngineError(
            f"building {entry.target} from {entry.context} failed",
            details=process.last_lines(error.output, SHOWN) or error.details,
            fix=FIX + (LEGACY if builder[1:] == ["build"] else ""),
        ) from error


@cache
def has_buildkit() -> bool:
    try:
        process.run(["docker", "buildx", "version"], timeout=VERSION_TIMEOUT)
    except (MissingTool, ToolFailed):
        return False
    return True
