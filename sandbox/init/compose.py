"""Reads the services of a compose file (the Compose Specification), as far as they can run in a cluster alike."""

from __future__ import annotations

import math
import re
import shlex
from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

from sandbox.config import text_file
from sandbox.errors import UsageError
from sandbox.init import (
    compose_build,
    compose_files,
    compose_secrets,
    compose_settings,
    compose_variables,
    compose_volumes,
    compose_watch,
    dockerfile,
)
from sandbox.init.compose_settings import words
from sandbox.init.detected import App, as_text, build_options, label, labels
from sandbox.oci import reference
from sandbox.system.files import is_file

# In the order in which compose itself looks for them.
FILES = ("compose.yaml", "compose.yml", "docker-compose.yml", "docker-compose.yaml")
USED = {
    *("build", "command", "configs", "container_name", "entrypoint", "env_file", "environment", "expose"),
    *("develop", "healthcheck", "image", "logging", "networks", "ports", "profiles", "restart", "secrets", "volumes"),
    *("stdin_open", "tty", "user", "working_dir"),
    *compose_settings.KEYS,
}
# What a container's setting is called in a service.
TERMINAL = {"stdin": "stdin_open", "tty": "tty"}
_PORT = re.compile(r"([0-9]{1,5})(?:-([0-9]{1,5}))?(?:/(tcp|udp))?")
# What Kubernetes takes for a variable's name.
_VARIABLE = re.compile(r"[ -<>-~]+")
# How many ports of one range a Service gets: a media server may name thousands.
MOST_OF_RANGE = 100
LEAST_CHECK = 5  # seconds for a check while a busy machine starts everything
# Ports of well-known programs whose service names no port, by the last part of their image's name.
PORTS = {
    **{"postgres": 5432, "postgresql": 5432, "postgis": 5432, "timescaledb": 5432},
    **{"mysql": 3306, "mariadb": 3306, "percona": 3306, "mongo": 27017, "mongodb": 27017},
    **{"redis": 6379, "valkey": 6379, "memcached": 11211, "rabbitmq": 5672, "nats": 4222, "kafka": 9092},
    **{"elasticsearch": 9200, "opensearch": 9200, "cassandra": 9042, "zookeeper": 2181, "minio": 9000},
}


def load(path: Path, profiles: Collection[str] = (), *, has_manifests: bool = False) -> tuple[list[App], list[str]]:
    """Return the services of the file, and what was left out, in words; raises UsageError if it is not a compose file.

    A service with profiles is left out unless one of them is wanted: compose starts it only on request. Of a project
    that `has_manifests`, objects are written at most for its own program, and the others are only built.
    """
    found, notes = compose_files.project(path)
    known = compose_variables.of_files(".env", path.parent)
    always = (one.strip() for one in (known.get("COMPOSE_PROFILES") or "").split(","))
    apart = _apart(found["services"], {*profiles, *always})
    idle = [name for name in apart if not has_manifests or found["services"][name].get("build")]
    if idle:
        options = " ".join(
            f"--profile {shlex.quote(one)}" for one in sorted(set().union(*(apart[one] for one in idle)))
        )
        notes.append(f"{path.name}: {', '.join(idle)} left out, since only a profile starts them: add {options}")
    sections = {section: compose_variables.filled(named, known) for section, named in found.items()}
    given = {name: one for name, one in sections["services"].items() if name not in apart}
    ending = {name for one in given.values() for name in _awaited(one.get("depends_on"))}
    names, claims = labels(given), compose_volumes.claims(given.values())
    apps: list[App] = []
    taken = set(names.values())
    for name, one in given.items():
        app = _app(name, one, path.parent, notes, called=names[name], claims=claims, known=known)
        mounts, left_out = compose_secrets.mounts(one, sections, path.parent, known.get)
        if app.context is not None and isinstance(one["build"], dict):
            added, lost = compose_build.more(one["build"], sections["secrets"], path.parent)
            app = replace(app, build={**app.build, **added})
            left_out += lost
        aliases = [each for each in compose_settings.aliases(one) if each != name]
        used = [each for each in aliases if label(each) == each and each not in taken and (app.port or app.more_ports)]
        left_out += [f"networks.aliases.{each}" for each in aliases if each not in used]
        taken.update(used)
        seen = {volume for each in apps for volume in each.volumes}
        apps.append(
            replace(
                app,
                once=name in ending,
                aliases=tuple(used),
                volumes=tuple(volume for volume in dict.fromkeys(app.claims.values()) if volume not in seen),
                mounts=(*app.mounts, *mounts),
                elsewhere=tuple(mount for each in apps for mount in each.mounts if mount.name),
                left_out=tuple(sorted((*app.left_out, *left_out))),
            )
        )
    written = {app.name: app for app in apps if app.is_whole or not has_manifests}
    notes += [_renamed(name, called, apps) for name, called in names.items() if called != name and called in written]
    if any(value in app.environment.values() for app in written.values() for value in known.values() if value):
        notes.append(f"values of .env of {path.name} are in what is written: keep it out of git if they are secret")
    if any(mount.secret for app in written.values() for mount in app.mounts):
        notes.append(f"the secrets of {path.name} are in what is written: keep it out of git")
    return apps, notes


def _apart(services: Mapping[str, Mapping[str, Any]], wanted: Collection[str]) -> dict[str, set[str]]:
    """Return the services that none of the wanted profiles starts, with theirs."""
    profiles = {name: set(map(str, compose_files.listed(one.get("profiles")))) for name, one in services.items()}
    return {name: own for name, own in profiles.items() if own and own.isdisjoint(wanted) and "*" not in wanted}


def _renamed(name: str, called: str, apps: list[App]) -> str:
    """Return a note for a service whose name no Service, or another one has, with the variables that may name it."""
    pattern = re.compile(rf"(?<![\w-]){re.escape(name)}(?![\w-])")
    users = [f"{key} of {app.name}" for app in apps for key, value in app.environment.items() if pattern.search(value)]
    return f"{name} is called {called} in the cluster: change what calls it ({', '.join(users) or 'its code'})"


def _awaited(given: Any) -> Iterator[str]:
    """Yield the services that have to end before another one starts."""
    for name, how in given.items() if isinstance(given, dict) else ():
        if isinstance(how, dict) and how.get("condition") == "service_completed_successfully":
            yield str(name)


def _app(
    name: str,
    service: Mapping[str, Any],
    folder: Path,
    notes: list[str],
    *,
    called: str,
    claims: Mapping[str, str],
    known: Mapping[str, str | None],
) -> App:
    """Return the app of a service, which is `called` so in the cluster; `claims` are the names of volumes there.

    `known` are the variables of the project.
    """
    context, image = _context(service.get("build")), str(service.get("image") or "") or None
    if context is None and image is None:
        notes.append(f"{name} is left out: it names no image, and what builds it is no Dockerfile of the project's")
    if context is None and image and (fault := _fault(image)):
        notes.append(f"the image of {name}, {image}, {fault}")
    entrypoint, command = words(service.get("entrypoint")), words(service.get("command"))
    build = service["build"] if isinstance(service.get("build"), dict) else {}
    options, unknown = build_options(build.get("dockerfile"), build.get("target"), build.get("args"))
    volumes = compose_volumes.sort(service.get("volumes"), folder, context, claims)
    if volumes.sync and "target" in options and not _has_code(folder / (context or "."), options):
        notes.append(f"the stage {options.pop('target')} of {name} is left out: its code comes from a volume")
    synced, unwatched = compose_watch.rules(service, folder, context) if context is not None else ([], [])
    synced = [*([{"paths": volumes.sync}] if volumes.sync else []), *synced]
    options |= {"sync": synced} if synced else {}
    left_out = [*map(str, service.keys() - USED), *(f"build.args.{key}" for key in unknown)]
    left_out += ["volumes"] if volumes.left_out else []
    more = compose_settings.settings(service)
    left_out += [*more.left_out, *unwatched]
    user = str(service.get("user", ""))
    if user and not re.fullmatch(r"[0-9]{1,9}(:[0-9]{1,9})?", user):  # a name, which only the image can resolve
        left_out.append("user")
        user = ""
    place = str(service.get("working_dir") or "")
    if place and not re.fullmatch(r"/[^$]*", place):  # engines take no other
        left_out.append("working_dir")
        place = ""
    ports = list(dict.fromkeys(_ports(service, left_out)))
    port = next((number for number, protocol in ports if protocol == "tcp"), None)
    given = dict(_environment(service.get("environment"), known))
    files = service.get("env_file")
    notes += [
        f"the variables of {name} in {file} are left out: it is not in this folder"
        for file in compose_variables.absent(files, folder)
    ]
    environment = {**compose_variables.of_files(files, folder, known), **given}
    unset = [key for key, value in environment.items() if value is None or not _VARIABLE.fullmatch(key)]
    left_out += [f"environment.{key}" for key in unset]
    left_out += [key for key in ("entrypoint", "command") if service.get(key) and not words(service[key])]
    return App(
        called,
        context=context,
        image=None if context is not None else image,
        port=port or (PORTS.get(_last(image)) if image and context is None else None),
        more_ports=tuple(one for one in ports if one != (port, "tcp")),
        environment={key: value or "" for key, value in environment.items() if key not in unset},
        command=entrypoint,
        args=command,
        check=_check(service.get("healthcheck")),
        check_seconds=_check_seconds(service.get("healthcheck")),
        folder=place,
        user=user,
        terminal=tuple(key for key, said in TERMINAL.items() if service.get(said) is True),
        replicas=more.replicas,
        container=more.container,
        pod=more.pod,
        memory=more.memory,
        mounts=tuple(volumes.mounts),
        claims=volumes.claims,
        names=(image.partition("@")[0],) if image and context is not None else (),
        build=options if context is not None else {},
        left_out=tuple(sorted(left_out)),
    )


def _fault(image: str) -> str:
    """Return what is wrong with the name of an image."""
    if "$" in image:
        return "has a variable without a value: give it one in .env or its manifest"
    try:
        reference.parse(image)
    except UsageError as error:
        return f"is none: {error.details}"
    return ""


def _has_code(context: Path, options: Mapping[str, Any]) -> bool:
    """Tell whether the stage that is built copies the context."""
    file = context / options.get("dockerfile", "Dockerfile")
    try:
        return not is_file(file) or dockerfile.copies_context(text_file.read(file), options["target"])
    except UsageError:  # the build reports what is wrong with it
        return True


def _last(image: str) -> str:
    return image.partition("@")[0].rpartition("/")[2].partition(":")[0]


def _check(given: Any) -> tuple[str, ...]:
    """Return the program that tells whether the service is healthy; none where that is turned off."""
    test = given.get("test") if isinstance(given, dict) and not given.get("disable") else None
    if isinstance(test, str):
        return ("sh", "-c", test.replace("$$", "$"))
    words = [str(one).replace("$$", "$") for one in test] if isinstance(test, list) else []
    match words[:1]:
        case ["CMD"]:
            return tuple(words[1:])
        case ["CMD-SHELL"]:
            return ("sh", "-c", *words[1:])
        case _:
            return ()


def _check_seconds(given: Any) -> int:
    """Return how many seconds the check may take: its `timeout`, or compose's default for one without or a bad one."""
    found = compose_settings.seconds(given.get("timeout")) if isinstance(given, dict) else None
    return App.check_seconds if found is None else max(LEAST_CHECK, math.ceil(found))


def _context(build: Any) -> str | None:
    """Return the folder that is built, unless it or its Dockerfile lies outside the project."""
    if isinstance(build, dict):
        file = PurePosixPath(str(build.get("dockerfile", "Dockerfile")))
        if file.is_absolute() or ".." in file.parts or "dockerfile_inline" in build:
            return None
        build = build.get("context", ".")
    if not isinstance(build, str) or "://" in build or PurePosixPath(build).is_absolute():
        return None
    return str(PurePosixPath(build))


def _ports(service: Mapping[str, Any], left_out: list[str]) -> Iterator[tuple[int, str]]:
    """Yield the container's ports and protocols: of `[[IP:]HOST:]CONTAINER[/PROTOCOL]`, the long form, `expose`.

    Of a range too long for a Service it is the first; `left_out` gets that, and what is no port.
    """
    for key in ("ports", "expose"):
        for one in compose_files.listed(service.get(key)):
            said = f"{one.get('target')}/{one.get('protocol') or 'tcp'}" if isinstance(one, dict) else str(one)
            match = _PORT.fullmatch(said.rpartition(":")[2])
            first, last, protocol = match.groups() if match else ("0", None, None)
            start, end = int(first), int(last or first)
            if not 0 < start <= end < 65536:
                left_out.append(f"{key}.{said}")
                continue
            if end - start >= MOST_OF_RANGE:
                left_out.append(f"{key}.{first}-{last}")
                end = start
            yield from ((port, protocol or "tcp") for port in range(start, end + 1))


def _environment(given: Any, known: Mapping[str, str | None]) -> Iterator[tuple[str, str | None]]:
    """Yield variables; a name alone takes the value that is `known`, and is None where only the shell has one."""
    pairs = (
        given.items() if isinstance(given, dict) else (str(one).split("=", 1) for one in compose_files.listed(given))
    )
    for key, *value in pairs:
        said = value[0] if value else None
        yield str(key), known.get(str(key)) if said is None else compose_variables.whole(as_text(said))
