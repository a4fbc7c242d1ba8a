"""Reads one service of a compose file as a program of the project: what it builds, runs, and is reached at."""

from __future__ import annotations

import json
import math
import os
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Any

from sandbox.config import untyped
from sandbox.errors import UsageError
from sandbox.images.sync_rules import is_place
from sandbox.init import dockerfile
from sandbox.init.compose import settings, variables, volumes
from sandbox.init.compose.merge import keys, listed, pairs
from sandbox.init.compose.merged_files import Sections
from sandbox.init.compose.variables import Variables
from sandbox.init.detected import App, as_text, build_options
from sandbox.init.project_folders import has
from sandbox.oci import reference
from sandbox.system.files import is_inside

# Keys that are read, or have no effect in a cluster.
READ = {
    *("build", "command", "configs", "container_name", "depends_on", "develop", "entrypoint", "env_file", "expose"),
    *("environment", "healthcheck", "hostname", "image", "labels", "links", "logging", "networks", "ports", "profiles"),
    *("pull_policy", "restart", "secrets", "stdin_open", "tty", "user", "volumes", "working_dir"),
    *settings.KEYS,
}
READ_OF_BUILD = {"args", "context", "dockerfile", "dockerfile_inline", "secrets", "ssh", "target"}
IDLE_OF_BUILD = {"cache_from", "cache_to", "labels", "no_cache", "provenance", "pull", "sbom", "tags"}
# What a container's setting is called in a service.
TERMINAL = {"stdin": "stdin_open", "tty": "tty"}
# What follows a copy, by the action of `develop.watch`; what is only built again is so anyway.
ACTIONS = ("sync", "sync+restart", "sync+exec")
# What Kubernetes takes for a variable's name.
_VARIABLE = re.compile(r"[ -<>-~]+")
# Another name is one that only the image can resolve.
_USER = re.compile(r"([0-9]{1,9}|root)(:([0-9]{1,9}|root))?")
# A URL, a git repository as engines know one, a whole path.
_ELSEWHERE = re.compile(r"/|[^/]+://|git@|github\.com/")
LEAST_CHECK = 5  # seconds for a check while a busy machine starts everything
COPIED = "# What compose mounts; added by `sandbox init`."


@dataclass(frozen=True)
class Project:
    """What the services of a compose file share: its folder, definitions, variables, and claims by names of volumes.

    If it `has_manifests`, these run what is built, and the images need no files of mounts.
    """

    folder: Path
    sections: Sections
    variables: Variables
    claims: Mapping[str, str] = field(default_factory=dict)
    has_manifests: bool = False


def app(service: Mapping[str, Any], project: Project, name: str, notes: list[str]) -> App:
    image = str(service.get("image") or "")
    context, reason = _context(service.get("build"))
    if context is None and not image:
        notes.append(f"{name} is left out: it names no image, and {reason}")
    elif context is None:
        if service.get("build"):
            notes.append(f"{name} is not built, but its image {image} is pulled: {reason}")
        try:
            reference.parse(image)
        except UsageError as error:
            notes.append(f"the image of {name}, {image}, is none: {error.details}")
    left_out = [*(keys(service) - READ)]
    placed = volumes.sort(service, project.folder, context, project.claims, left_out)
    mounts = volumes.secrets(service, project.sections, project.folder, project.variables.values, left_out)
    build, recipe = {}, untyped.at(service, "build", "dockerfile_inline")
    if context is not None:
        build = _build(service, context, placed.sync, project, left_out)
        if recipe and isinstance(recipe, str):
            build["dockerfile"] = f"sandbox-{name}.Dockerfile"
    command, args = (_words(service.get(key), key, left_out) for key in ("entrypoint", "command"))
    if service.get("entrypoint") in ("", []):  # the image's own is not used
        command, args = args, ()
    pulled = image if context is None else None
    port, more_ports = settings.listening(service, pulled, left_out)
    user = str(service.get("user") or "")
    if user and not _USER.fullmatch(user):
        left_out.append("user")
        user = ""
    timeout = settings.seconds(untyped.at(service, "healthcheck", "timeout"))
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
        check_seconds=App.check_seconds if timeout is None else max(LEAST_CHECK, math.ceil(timeout)),
        folder=str(service.get("working_dir") or ""),
        user=user.replace("root", "0"),
        terminal=tuple(key for key, compose_key in TERMINAL.items() if service.get(compose_key) is True),
        **settings.fields(service, left_out),
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
    service: Mapping[str, Any], context: str, mounted: Mapping[str, str], project: Project, left_out: list[str]
) -> dict[str, Any]:
    build = untyped.mapping(service, "build")
    args = _values(build.get("args"), project)
    options, unknown = build_options(build.get("dockerfile"), build.get("target"), args)
    left_out += [f"build.args.{key}" for key in unknown]
    left_out += [f"build.{key}" for key in keys(build) - READ_OF_BUILD - IDLE_OF_BUILD]
    secrets = []
    for entry in listed(build.get("secrets")):
        secret = entry if isinstance(entry, Mapping) else {"source": entry}
        name = str(secret.get("source"))
        definition = project.sections["secrets"].get(name, {})
        file, variable = str(definition.get("file") or ""), str(definition.get("environment") or "")
        source = f"src={file}" if file and has(project.folder, file) else f"env={variable}" if variable else ""
        if source:
            secrets.append(f"id={secret.get('target') or name},{source}")
        else:
            left_out.append(f"build.secrets.{name}")
    rules = _watched(service, project.folder, context, left_out)
    # The first rule that fits a file counts, so rules of `develop` come before those of mounted folders.
    unwatched = {path: place for path, place in mounted.items() if all(path not in rule["paths"] for rule in rules)}
    rules += [{"paths": unwatched}] if unwatched else []
    more = {"secrets": secrets, "ssh": [str(agent) for agent in listed(build.get("ssh"))], "sync": rules}
    return {**options, **{key: value for key, value in more.items() if value}}


def _values(setting: Any, project: Project) -> dict[str, str | None]:
    return {
        key: project.variables.values.get(key) if value is None else as_text(value) for key, value in pairs(setting)
    }


def _watched(service: Mapping[str, Any], folder: Path, context: str, left_out: list[str]) -> list[dict[str, Any]]:
    rules: dict[tuple[str, ...], dict[str, Any]] = {}  # by action and command
    for entry in untyped.mappings(service, "develop", "watch"):
        action, path, target = (str(entry.get(key) or "") for key in ("action", "path", "target"))
        if action == "rebuild":
            continue
        command = _words(untyped.at(entry, "exec", "command"), "", []) if action == "sync+exec" else ()
        is_in_context = path and os.path.lexists(folder / path) and is_inside(folder / context, folder / path)
        is_known = action in ACTIONS and bool(command) == (action == "sync+exec")
        if not (is_known and is_in_context and is_place(target)):
            left_out.append(f"develop.watch.{path}")
        else:
            then = {"restart": True} if action == "sync+restart" else {"run": list(command)} if command else {}
            rule = rules.setdefault((action, *command), {"paths": {}, **then})
            rule["paths"][os.path.relpath(folder / path, folder / context)] = target.rstrip("/")
    return list(rules.values())


def _with_mounted_code(program: App, placed: volumes.Volumes, folder: Path) -> App:
    """Return the program with an image that has the source code that compose mounts, by a Dockerfile written for it.

    A pod has no folder of this machine. What is copied at the build, `sandbox dev` keeps up to date.
    """
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
