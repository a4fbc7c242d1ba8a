"""Reads one service of a compose file as a program of the project: what it builds, runs, and is reached at."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

from sandbox.config import untyped
from sandbox.errors import UsageError
from sandbox.init.compose import (
    build_inputs,
    mounted_code,
    secrets,
    service_ports,
    settings,
    variables,
    volumes,
    watch_rules,
)
from sandbox.init.compose.merge import keys, listed
from sandbox.init.compose.merged_files import Sections
from sandbox.init.compose.settings import words
from sandbox.init.detected import App, as_text, build_options, last_part
from sandbox.oci import reference

USED = {
    *("build", "command", "configs", "container_name", "develop", "entrypoint", "env_file", "environment", "expose"),
    *("healthcheck", "image", "links", "logging", "networks", "ports", "profiles", "pull_policy", "restart", "secrets"),
    *("stdin_open", "tty", "user", "volumes", "working_dir"),
    *settings.KEYS,
}
# What a container's setting is called in a service.
TERMINAL = {"stdin": "stdin_open", "tty": "tty"}
# What Kubernetes takes for a variable's name.
_VARIABLE = re.compile(r"[ -<>-~]+")
# Another name is one that only the image can resolve.
_USER = re.compile(r"([0-9]{1,9}|root)(:([0-9]{1,9}|root))?")
# A URL, a git repository as engines know one, a whole path.
_ELSEWHERE = re.compile(r"/|[^/]+://|git@|github\.com/")
_PLACE = re.compile(r"/[^$]*")  # engines take no other folder
SET_UP = "/docker-entrypoint-initdb.d"  # what images of databases read once
LEAST_CHECK = 5  # seconds for a check while a busy machine starts everything
# Images of MySQL, and how it is asked: by its own account, for it writes a warning of one that is refused, too.
MYSQL = {"mariadb", "mysql", "mysql-server", "percona", "percona-server"}
PING = (
    "exec $(command -v mariadb-admin || echo mysqladmin) ping --host=127.0.0.1 "
    '--user="${MARIADB_USER:-${MYSQL_USER:-root}}" '
    '--password="${MARIADB_PASSWORD:-${MYSQL_PASSWORD:-${MARIADB_ROOT_PASSWORD:-$MYSQL_ROOT_PASSWORD}}}"'
)


@dataclass(frozen=True)
class Project:
    """What the services of a compose file in `folder` share.

    `sections` are what the file defines, `known` the variables of the project, `claims` the names of volumes in the
    cluster. Of one that `has_manifests`, these run what is built.
    """

    folder: Path
    sections: Sections
    known: variables.Variables
    claims: Mapping[str, str] = field(default_factory=dict)
    has_manifests: bool = False


def app(name: str, service: Mapping[str, Any], project: Project, notes: list[str], *, called: str) -> App:
    """Return the program of a service, which is `called` so in the cluster; `notes` get what users have to know."""
    context, reason = _context(service)
    image = _image(name, str(service.get("image") or ""), notes) or None
    notes += _image_faults(name, service, image, reason) if context is None else ()
    pulled = image if context is None else None
    copied = (lambda _: False) if project.has_manifests else partial(_is_copied, pulled)
    placed = volumes.sort(service.get("volumes"), project.folder, context, project.claims, copied)
    build, not_built = _build(service, context, placed.sync, project)
    recipe = _inline(service) if context is not None else ""
    build |= {"dockerfile": f"sandbox-{called}.Dockerfile"} if recipe else {}
    environment = _environment(service, project)
    unset = [key for key, value in environment.items() if value is None or not _VARIABLE.fullmatch(key)]
    mounts, not_mounted = secrets.mounts(service, project.sections, project.folder, project.known.get)
    more = settings.settings(service)
    left_out = [
        *(keys(service) - USED),
        *not_built,
        *placed.left_out,
        *not_mounted,
        *more.left_out,
        *(f"environment.{key}" for key in unset),
    ]
    command, args = (_words(service, key, left_out) for key in ("entrypoint", "command"))
    if service.get("entrypoint") in ("", []):  # the image's own is not used
        command, args = args, ()
    port, more_ports, not_ports = service_ports.listening(service, environment, pulled)
    left_out += not_ports
    place = _of_form(_PLACE, service, "working_dir", left_out)
    user = re.sub(r"\broot\b", "0", _of_form(_USER, service, "user", left_out))
    found = App(
        called,
        context=context,
        image=pulled,
        port=port,
        more_ports=more_ports,
        environment={key: value or "" for key, value in environment.items() if key not in unset},
        command=command,
        args=args,
        check=_check(service["healthcheck"]) if "healthcheck" in service else _usual_check(pulled),
        check_seconds=_check_seconds(service.get("healthcheck")),
        folder=place,
        user=user,
        terminal=tuple(key for key, said in TERMINAL.items() if service.get(said) is True),
        replicas=more.replicas,
        container=more.container,
        pod=more.pod,
        memory=more.memory,
        mounts=(*placed.mounts, *mounts),
        claims=placed.claims,
        subpaths=placed.subpaths,
        read_only=tuple(placed.read_only),
        names=(image.partition("@")[0],) if image and not pulled else (),
        build=build,
        recipe=recipe,
        left_out=tuple(sorted(left_out)),
    )
    return found if project.has_manifests else mounted_code.added(found, placed, project.folder)


def _image(name: str, said: str, notes: list[str]) -> str:
    """Return an image, whose variables without a value are empty if it is one then."""
    image, names = variables.emptied(said)
    if not names or _fault(image):
        return said
    notes.append(f"the image of {name} is {image}, for {', '.join(names)} has no value in .env")
    return image


def _words(service: Mapping[str, Any], key: str, left_out: list[str]) -> tuple[str, ...]:
    """Return a command as a list; its variables without a value are empty, and told in `left_out`."""
    given = service.get(key)
    given, odd = (given, None) if isinstance(given, list | str) else (None, given)
    texts = [variables.emptied(str(one)) for one in listed(given)]
    left_out += [f"{key}.{name}" for name in dict.fromkeys(name for _, names in texts for name in names)]
    found = words([text for text, _ in texts] if isinstance(given, list) else texts[0][0] if given else None)
    left_out += [key] if (given and not found) or odd else []
    return found


def _image_faults(name: str, service: Mapping[str, Any], image: str | None, reason: str) -> Iterator[str]:
    """Yield a note for a service that has no image, or none that can be pulled, and is not built for this `reason`."""
    if image is None:
        yield f"{name} is left out: it names no image, and {reason}"
        return
    if service.get("build"):
        yield f"{name} is not built, but its image {image} is pulled: {reason}"
    if fault := _fault(image):
        yield f"the image of {name}, {image}, {fault}"


def _is_copied(image: str | None, place: str) -> bool:
    """Tell whether an image may have what is mounted at the place: not the data of a database, nor one without name."""
    if image and _fault(image):
        return False
    is_data = place.startswith("/var/lib/") or (image and last_part(image) in service_ports.PORTS)
    return not is_data or place.startswith(SET_UP)


def _build(
    service: Mapping[str, Any], context: str | None, mounted: Mapping[str, str], project: Project
) -> tuple[dict[str, Any], list[str]]:
    """Return what images.yaml says of a build besides its context, and the names of what is left out.

    `mounted` are the volumes with its source code, by their paths in the context.
    """
    given = untyped.mapping(service, "build")
    args = dict(_variables(given.get("args"), project.known))
    options, unknown = build_options(given.get("dockerfile"), given.get("target"), args)
    left_out = [f"build.args.{key}" for key in unknown]
    if context is None:
        return {}, left_out
    watched, unwatched = watch_rules.rules(service, project.folder, context)
    # The first rule that fits a file counts: what `develop` says of a mounted folder goes before the mount.
    only_mounted = {path: place for path, place in mounted.items() if all(path not in one["paths"] for one in watched)}
    if synced := [*watched, *([{"paths": only_mounted}] if only_mounted else [])]:
        options["sync"] = synced
    more, lost = build_inputs.more(given, project.sections["secrets"], project.folder)
    return {**options, **more}, [*left_out, *unwatched, *lost]


def _of_form(form: re.Pattern[str], service: Mapping[str, Any], key: str, left_out: list[str]) -> str:
    """Return a setting if it has the form; else it is empty, and `left_out` gets its key."""
    given = service.get(key)
    value = "" if given is None else str(given)
    if not value or form.fullmatch(value):
        return value
    left_out.append(key)
    return ""


def _fault(image: str) -> str:
    """Return what is wrong with the name of an image."""
    if "$" in image:
        return "has a variable without a value: give it one in .env or its manifest"
    try:
        reference.parse(image)
    except UsageError as error:
        return f"is none: {error.details}"
    return ""


def _check(given: Any) -> tuple[str, ...]:
    """Return the program that tells whether the service is healthy; none where that is turned off."""
    test = given.get("test") if isinstance(given, dict) and not given.get("disable") else None
    if isinstance(test, str):
        return ("sh", "-c", _emptied(test))
    words = [_emptied(str(one)) for one in test] if isinstance(test, list) else []
    match words[:1]:
        case ["CMD"]:
            return tuple(words[1:])
        case ["CMD-SHELL"]:
            return ("sh", "-c", *words[1:])
        case _:
            return ()


def _emptied(text: str) -> str:
    """Return the text as compose has it where a shell sets none of its variables."""
    return variables.emptied(text)[0].replace("$$", "$")


def _usual_check(image: str | None) -> tuple[str, ...]:
    """Return the check of a database that writes a warning for each connection that says nothing."""
    return ("sh", "-c", PING) if image and last_part(image) in MYSQL else ()


def _check_seconds(given: Any) -> int:
    """Return how many seconds the check may take: its `timeout`, or compose's default for one without or a bad one."""
    found = settings.seconds(given.get("timeout")) if isinstance(given, dict) else None
    return App.check_seconds if found is None else max(LEAST_CHECK, math.ceil(found))


def _context(service: Mapping[str, Any]) -> tuple[str | None, str]:
    """Return the folder that is built; else None, and why nothing is built."""
    given = service.get("build")
    if not given:
        provider = service.get("provider")
        if isinstance(provider, Mapping):
            return None, f"the provider {provider.get('type')} has no counterpart here"
        return None, "nothing builds one"
    build = given if isinstance(given, Mapping) else {"context": given}
    file = PurePosixPath(str(build.get("dockerfile", "Dockerfile")))
    if file.is_absolute() or ".." in file.parts:
        return None, f"its Dockerfile, {file}, is not in the folder that is built"
    context = build.get("context", ".")
    if not isinstance(context, str) or _ELSEWHERE.match(context):
        return None, f"what it is built from, {context}, is not in this folder"
    if "$" in context:
        return None, f"what it is built from, {context}, has a variable without a value"
    if "dockerfile_inline" in build and ".." in PurePosixPath(context).parts:
        return None, f"what it is built from, {context}, is not in this folder, where its Dockerfile would be written"
    return str(PurePosixPath(context)), ""


def _inline(service: Mapping[str, Any]) -> str:
    """Return the Dockerfile that is in the compose file, with its variables as compose has them."""
    build = service.get("build")
    said = build.get("dockerfile_inline") if isinstance(build, Mapping) else None
    return _emptied(said) if isinstance(said, str) else ""


def _environment(service: Mapping[str, Any], project: Project) -> Mapping[str, str | None]:
    """Return the variables of a service, also those of its files; None is one that only the shell has."""
    own = dict(_variables(service.get("environment"), project.known))
    known = {**own, **{key: value for key, value in project.known.items() if value is not None}}
    return {**variables.of_files(service.get("env_file"), project.folder, known), **own}


def _variables(given: Any, known: Mapping[str, str | None]) -> Iterator[tuple[str, str | None]]:
    """Yield variables; a name alone takes the value that is `known`, and is None where only the shell has one."""
    pairs = given.items() if isinstance(given, dict) else (str(one).split("=", 1) for one in listed(given))
    for key, *value in pairs:
        said = value[0] if value else None
        yield str(key), known.get(str(key)) if said is None else variables.whole(as_text(said))
