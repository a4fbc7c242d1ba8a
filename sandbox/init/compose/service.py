"""Reads one service of a compose file as a program of the project: what it builds, runs, and is reached at."""

import json
import math
import re
import shlex
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

from sandbox.config import untyped
from sandbox.init import dockerfile
from sandbox.init.compose import variables, volumes
from sandbox.init.compose.merge import keys, listed, pairs
from sandbox.init.compose.merged_files import Sections
from sandbox.init.compose.variables import Variables
from sandbox.init.detected import NOT_HTTP, App, as_text, build_options, last_part

# Keys that are read, or have no effect in a cluster.
READ = {
    *("build", "command", "configs", "container_name", "cpus", "depends_on", "deploy", "entrypoint", "env_file"),
    *("environment", "expose", "healthcheck", "hostname", "image", "labels", "links", "logging", "mem_limit"),
    *("networks", "ports", "profiles", "pull_policy", "restart", "scale", "secrets", "stdin_open", "tty", "user"),
    *("volumes", "working_dir"),
}
READ_OF_BUILD = {"args", "context", "dockerfile", "dockerfile_inline", "target"}
IDLE_OF_BUILD = {"cache_from", "cache_to", "labels", "no_cache", "provenance", "pull", "sbom", "tags"}
# What a container's setting is called in a service.
TERMINAL = {"stdin": "stdin_open", "tty": "tty"}
# What Kubernetes takes for a variable's name.
_VARIABLE = re.compile(r"[ -<>-~]+")
# Another name is one that only the image can resolve.
_USER = re.compile(r"([0-9]{1,9}|root)(:([0-9]{1,9}|root))?")
# A URL, a git repository as engines know one, a whole path.
_ELSEWHERE = re.compile(r"/|[^/]+://|git@|github\.com/")
_COUNT = re.compile(r"[0-9]{1,4}")
# Bytes of the units of sizes (Compose Specification, 11-extension.md).
BYTES = {"": 1, "b": 1, "k": 1 << 10, "kb": 1 << 10, "m": 1 << 20, "mb": 1 << 20, "g": 1 << 30, "gb": 1 << 30}
_SIZE = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,9})?) *([a-z]{0,2})", re.IGNORECASE)
# A range with more ports gets its first only: a media server may name thousands.
LONGEST_RANGE = 100
# Ports of well-known programs whose service names no port, by the last part of their image's name.
PORTS = {
    **{"postgres": 5432, "postgresql": 5432, "postgis": 5432, "timescaledb": 5432},
    **{"mysql": 3306, "mariadb": 3306, "percona": 3306, "mongo": 27017, "mongodb": 27017},
    **{"redis": 6379, "valkey": 6379, "memcached": 11211, "rabbitmq": 5672, "nats": 4222, "kafka": 9092},
    **{"elasticsearch": 9200, "opensearch": 9200, "cassandra": 9042, "zookeeper": 2181, "minio": 9000},
}
_PORT = re.compile(r"([0-9]{1,5})(?:-([0-9]{1,5}))?(?:/(tcp|udp))?", re.IGNORECASE)
COPIED = "# What compose mounts; added by `sandbox init`."


@dataclass(frozen=True)
class Project:
    """What the services of a compose file share: its folder, definitions, variables, and claims by names of volumes.

    If it `has_manifests`, these run what is built, and the images need no files of mounts.
    """

    folder: Path
    sections: Sections
    variables: Variables
    claims: Mapping[str, str]
    has_manifests: bool


def app(service: Mapping[str, Any], project: Project, name: str, notes: list[str]) -> App:
    image = str(service.get("image") or "")
    context, reason = _context(service.get("build"))
    if context is None and not image:
        notes.append(f"{name} is left out: it names no image, and {reason}")
    elif context is None and service.get("build"):
        notes.append(f"{name} is not built, but its image {image} is pulled: {reason}")
    left_out = [*(keys(service) - READ)]
    placed = volumes.sort(service, project.folder, context, project.claims, left_out)
    mounts = volumes.secrets(service, project.sections, project.folder, project.variables.values, left_out)
    build, recipe = {}, untyped.at(service, "build", "dockerfile_inline")
    if context is not None:
        build = _build(service, placed.sync, project, left_out)
        if recipe and isinstance(recipe, str):
            build["dockerfile"] = f"sandbox-{name}.Dockerfile"
    command, args = (_words(service.get(key), key, left_out) for key in ("entrypoint", "command"))
    if service.get("entrypoint") in ("", []):  # the image's own is not used
        command, args = args, ()
    pulled = image if context is None else None
    port, more_ports = listening(service, pulled, left_out)
    replicas = str(untyped.mapping(service, "deploy").get("replicas", service.get("scale")))
    user = str(service.get("user") or "")
    if user and not _USER.fullmatch(user):
        left_out.append("user")
        user = ""
    program = App(
        name,
        context=context,
        image=pulled or None,
        port=port,
        more_ports=more_ports,
        environment=_environment(service, project, left_out),
        command=command,
        args=args,
        check=_check(untyped.mapping(service, "healthcheck")),
        folder=str(service.get("working_dir") or ""),
        user=user.replace("root", "0"),
        terminal=tuple(key for key, compose_key in TERMINAL.items() if service.get(compose_key) is True),
        replicas=int(replicas) if _COUNT.fullmatch(replicas) else None,
        resources=_resources(service, left_out),
        mounts=(*placed.mounts, *mounts),
        claims=placed.claims,
        names=(image.partition("@")[0],) if image and not pulled else (),
        build=build,
        recipe=recipe if context is not None and isinstance(recipe, str) else "",
        left_out=tuple(sorted(dict.fromkeys(left_out))),
    )
    return program if project.has_manifests else _with_mounted_code(program, placed, project.folder)


def _context(build: Any) -> tuple[str | None, str]:
    if not isinstance(build, Mapping):
        return None, "nothing builds one"
    file = PurePosixPath(str(build.get("dockerfile", "Dockerfile")))
    if file.is_absolute() or ".." in file.parts:
        return None, f"its Dockerfile, {file}, is not in the folder that is built"
    context = str(build.get("context", "."))
    if _ELSEWHERE.match(context):
        return None, f"what it is built from, {context}, is not in this folder"
    return str(PurePosixPath(context)), ""


def _build(
    service: Mapping[str, Any], mounted: Mapping[str, str], project: Project, left_out: list[str]
) -> dict[str, Any]:
    build = untyped.mapping(service, "build")
    args = _values(build.get("args"), project)
    options, unknown = build_options(build.get("dockerfile"), build.get("target"), args)
    left_out += [f"build.args.{key}" for key in unknown]
    left_out += [f"build.{key}" for key in keys(build) - READ_OF_BUILD - IDLE_OF_BUILD]
    return {**options, **({"sync": [{"paths": dict(mounted)}]} if mounted else {})}


def _values(setting: Any, project: Project) -> dict[str, str | None]:
    return {
        key: project.variables.values.get(key) if value is None else as_text(value) for key, value in pairs(setting)
    }


# A pod has no folder of this machine. A Dockerfile copies what compose mounts, and `sandbox dev` keeps it up to date.
def _with_mounted_code(program: App, placed: volumes.Volumes, folder: Path) -> App:
    build = {key: value for key, value in program.build.items() if key != "target"}
    if program.context is None:
        if not placed.copied:
            return program
        context, text, lacking = ".", f"FROM {program.image}\n", placed.copied
        build["sync"] = [{"paths": placed.copied}]
    else:
        context, dockerfile_name = program.context, program.build.get("dockerfile", "Dockerfile")
        if ".." in PurePosixPath(context).parts:
            return program
        text = program.recipe or dockerfile.read(folder / context, dockerfile_name)
        copied = set(dockerfile.sources(text))
        lacking = {
            path: place
            for path, place in placed.sync.items()
            if not any(PurePosixPath(path).is_relative_to(source) for source in copied)
        }
        if not text or not lacking:
            return program
        target = program.build.get("target")
        text = f"{text.rstrip()}\n" + (f"FROM {target}\n" if target else "")
    lines = (f"COPY {json.dumps([path, place], ensure_ascii=False)}\n" for path, place in lacking.items())
    build["dockerfile"] = f"sandbox-{program.name}.Dockerfile"
    return replace(program, context=context, image=None, build=build, recipe=f"{text}{COPIED}\n{''.join(lines)}")


def _words(setting: Any, key: str, left_out: list[str]) -> tuple[str, ...]:
    if isinstance(setting, list):
        return tuple(map(str, setting))
    try:
        return tuple(shlex.split(setting)) if isinstance(setting, str) else ()
    except ValueError:
        left_out.append(key)
        return ()


def _check(healthcheck: Mapping[str, Any]) -> tuple[str, ...]:
    match None if healthcheck.get("disable") else healthcheck.get("test"):
        case str() as test:
            return ("sh", "-c", test)
        case ["CMD", *words]:
            return tuple(map(str, words))
        case ["CMD-SHELL", *words]:
            return ("sh", "-c", *map(str, words))
    return ()


def _environment(service: Mapping[str, Any], project: Project, left_out: list[str]) -> dict[str, str]:
    own = _values(service.get("environment"), project)
    values = {**variables.of_files(service.get("env_file"), project.folder, project.variables), **own}
    environment = {key: value for key, value in values.items() if value is not None and _VARIABLE.fullmatch(key)}
    left_out += [f"environment.{key}" for key in values if key not in environment]
    return environment


def quantity(size: Any) -> str | None:
    match = _SIZE.fullmatch(str(size))
    unit = BYTES.get(match[2].lower()) if match else None
    if match is None or unit is None:
        return None
    number = int(float(match[1]) * unit)
    units = (("Mi", 1 << 20), ("Ki", 1 << 10))
    return next((f"{number // factor}{name}" for name, factor in units if not number % factor), str(number))


def _resources(service: Mapping[str, Any], left_out: list[str]) -> dict[str, dict[str, str]]:
    deploy = untyped.mapping(service, "deploy")
    limits = untyped.mapping(deploy, "resources", "limits")
    left_out += [f"deploy.{key}" for key in keys(deploy) - {"replicas", "resources"}]
    left_out += [f"deploy.resources.{key}" for key in keys(untyped.mapping(deploy, "resources")) - {"limits"}]
    left_out += [f"deploy.resources.limits.{key}" for key in keys(limits) - {"cpus", "memory"}]
    most: dict[str, str] = {}
    with suppress(OverflowError, TypeError, ValueError):
        if processors := float(limits.get("cpus", service.get("cpus", 0))):
            most["cpu"] = f"{math.ceil(processors * 1000)}m"
    if memory := quantity(limits.get("memory", service.get("mem_limit"))):
        most["memory"] = memory
    # A limit without a request would reserve as much.
    return {"limits": most, "requests": dict.fromkeys(most, "0")} if most else {}


def listening(
    service: Mapping[str, Any], image: str | None, left_out: list[str]
) -> tuple[int | None, tuple[tuple[int, str], ...]]:
    """Return the port that an Ingress leads to, and the others with their protocols.

    `image` is None for a program that is built here.
    """
    ports = list(dict.fromkeys(_named(service, left_out)))
    numbers = [number for number, protocol in ports if protocol == "tcp"]
    main = next((number for number in numbers if number not in NOT_HTTP), next(iter(numbers), None))
    others = tuple(port for port in ports if port != (main, "tcp"))
    return main or (PORTS.get(last_part(image)) if image else None), others


def _named(service: Mapping[str, Any], left_out: list[str]) -> Iterator[tuple[int, str]]:
    # `[[IP:]HOST:]CONTAINER[/PROTOCOL]`, or the long form
    for key in ("ports", "expose"):
        for entry in listed(service.get(key)):
            text = f"{entry.get('target')}/{entry.get('protocol') or 'tcp'}" if isinstance(entry, dict) else str(entry)
            match = _PORT.fullmatch(text.rpartition(":")[2])
            start, end = (int(match[1]), int(match[2] or match[1])) if match else (0, 0)
            if match is None or not 0 < start <= end < 65536:
                left_out.append(f"{key}.{text}")
                continue
            if end - start >= LONGEST_RANGE:
                left_out.append(f"{key}.{start}-{end}")
                end = start
            yield from ((port, (match[3] or "tcp").lower()) for port in range(start, end + 1))
