"""Reads the compose files of a folder as the programs of a project."""

from __future__ import annotations

import os
import posixpath
import re
import shlex
from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from sandbox.config import untyped
from sandbox.errors import UsageError
from sandbox.init import project_folders
from sandbox.init.compose import hosts, merged_files, service, settings, variables, volumes
from sandbox.init.compose.merge import listed
from sandbox.init.compose.service import COPIED, Project
from sandbox.init.compose.variables import Variables
from sandbox.init.detected import App, ToolFile, label, labels
from sandbox.system.files import is_file, is_inside

# In the order in which compose itself looks for them, and the overrides, of which one is read.
FILES = ("compose.yaml", "compose.yml", "docker-compose.yml", "docker-compose.yaml")
OVERRIDES = tuple(f"{name}.override.{end}" for name in ("compose", "docker-compose") for end in ("yml", "yaml"))
ENV = ".env"
# An example of a .env file, as projects call it.
_EXAMPLE = re.compile(r"\.?env[-._](default|dist|example|sample|template)")


def load(folder: Path, profiles: Collection[str] = (), *, has_manifests: bool = False) -> ToolFile | None:
    """Return the project of the folder; None if it has no compose file. Raises UsageError for a wrong one.

    A service with profiles is left out unless one of them is asked for. Of a project that `has_manifests`, these run
    what is built.
    """
    notes: list[str] = []
    known = Variables()
    known.values = {key: value or "" for key, value in variables.of_files(ENV, folder, known).items()}
    files = _files(folder, known)
    if not files:
        return None
    examples = (file.name for file in project_folders.listed(folder) if _EXAMPLE.fullmatch(file.name) and is_file(file))
    if not is_file(folder / ENV) and (example := next(examples, None)):
        notes.append(f"{ENV} is missing: `cp {example} {ENV}` before `sandbox init` gives variables a value")
    secret = set(filter(None, known.values.values()))
    name = _name(folder, files, known)
    known.values.setdefault("COMPOSE_PROJECT_NAME", name or label(folder.absolute().name))
    sections = merged_files.load(folder, files, known, notes)
    services = {key: entry for key, entry in sections["services"].items() if not has_manifests or entry.get("build")}
    of_services = {key: frozenset(map(str, listed(entry.get("profiles")))) for key, entry in services.items()}
    asked = {*profiles, *known.values.get("COMPOSE_PROFILES", "").split(",")}
    apart = {key: own for key, own in of_services.items() if own and own.isdisjoint(asked) and "*" not in asked}
    if apart:
        idle = sorted(frozenset().union(*apart.values()))
        options = " ".join(f"--profile {shlex.quote(profile)}" for profile in idle)
        notes.append(f"{files[0]}: {', '.join(apart)} left out, since only a profile starts them: add {options}")
    services = {key: entry for key, entry in services.items() if key not in apart}
    apps = _apps(services, Project(folder, sections, known, has_manifests=has_manifests), notes)
    if known.unset:
        notes.append(f"{files[0]}: no value in {ENV}, so empty: {', '.join(sorted(known.unset))}")
    if any(value in secret for app in apps for value in app.environment.values()):
        notes.append(f"values of {ENV} are in what is written: keep it out of git if they are secret")
    if any(mount.secret for app in apps for mount in app.mounts):
        notes.append(f"the secrets of {files[0]} are in what is written: keep it out of git")
    return ToolFile(tuple(apps), notes=tuple(notes), profiles=frozenset().union(*of_services.values()), project=name)


def _files(folder: Path, known: Variables) -> list[str]:
    separator = known.values.get("COMPOSE_PATH_SEPARATOR") or ":"
    named = [posixpath.normpath(path) for path in known.values.get("COMPOSE_FILE", "").split(separator) if path]
    if named:
        return named
    main = next((name for name in FILES if is_file(folder / name)), None)
    if main is None:
        return []
    if not is_inside(folder, folder / main):
        target = os.path.realpath(folder / main)
        raise UsageError(f"{folder / main} is a link that leaves {folder}", details=target, fix="put the file there")
    return [main, *[name for name in OVERRIDES if is_file(folder / name)][:1]]


def _name(folder: Path, files: Collection[str], known: Variables) -> str:
    names = [known.values.get("COMPOSE_PROJECT_NAME")]
    for file in reversed([file for file in files if project_folders.has(folder, file)]):
        name = untyped.at(merged_files.document(folder / file), "name")
        names.append(known.filled(name) if isinstance(name, str) else None)
    return next(filter(None, names), "")


def _apps(services: Mapping[str, Mapping[str, Any]], project: Project, notes: list[str]) -> list[App]:
    names = labels(services)
    project = replace(project, claims=volumes.claims(services.values(), project.folder))
    programs = {key: service.app(entry, project, names[key], notes) for key, entry in services.items()}
    # What has no image is left out.
    programs = {key: program for key, program in programs.items() if program.context is not None or program.image}
    if copied := [program.name for program in programs.values() if COPIED in program.recipe]:
        notes.append(f"what compose mounts is copied into the images of {', '.join(copied)}: see sandbox-*.Dockerfile")
    jobs = set(_jobs(services))
    taken = set(names.values())
    apps: list[App] = []
    for key, program in programs.items():
        aliases = [alias for alias in dict.fromkeys(_aliases(key, services)) if label(alias) == alias]
        aliases = [alias for alias in aliases if alias not in taken and key not in jobs]
        taken.update(aliases)
        apps.append(replace(program, once=key in jobs, aliases=tuple(aliases)))
    names = {key: names[key] for key in programs}
    apps = hosts.renamed(apps, names, notes)
    for key, name in names.items():
        container = str(services[key].get("container_name") or key)
        if container not in names and label(container) != container:
            change: list[str] = []
            changed = hosts.renamed(apps, {container: name}, change)
            notes += change if changed != apps else ()
            apps = changed
    apps = hosts.connected(apps, names)
    missing: dict[str, list[str]] = {}
    for key, entry in services.items():
        for file in variables.absent(entry.get("env_file"), project.folder):
            missing.setdefault(file, []).append(key)
    notes += [f"{file}, with variables of {', '.join(keys)}, is missing" for file, keys in missing.items()]
    notes += hosts.of_the_machine(apps)
    notes += volumes.external((services[key] for key in programs), project.sections["volumes"])
    return apps


def _jobs(services: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """Yield the services that do something and end.

    Others wait for their end, or they are not restarted, and nothing says that they listen.
    """
    conditions = [
        (str(name), untyped.at(how, "condition"))
        for entry in services.values()
        for name, how in untyped.mapping(entry, "depends_on").items()
    ]
    awaited = {name for entry in services.values() for name in map(str, listed(entry.get("depends_on")))}
    for key, entry in services.items():
        ends = str(entry.get("restart")).lower() in ("no", "false")
        listens = any(entry.get(setting) for setting in ("expose", "healthcheck", "ports", "stdin_open", "tty"))
        listens = listens or settings.listening(entry, str(entry.get("image") or ""), [])[0] is not None
        is_needed = any(name == key for name, _ in conditions) or key in awaited
        if (key, "service_completed_successfully") in conditions or (ends and not listens and not is_needed):
            yield key


def _aliases(key: str, services: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    for network in untyped.mapping(services[key], "networks").values():
        yield from map(str, listed(untyped.at(network, "aliases")))
    yield from (str(name) for setting in ("container_name", "hostname") if (name := services[key].get(setting)))
    for link in (str(link) for entry in services.values() for link in listed(entry.get("links"))):
        linked, _, alias = link.partition(":")
        if linked == key and alias:
            yield alias
