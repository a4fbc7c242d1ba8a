"""Reads the compose files of a folder as the programs of a project."""

import os
import posixpath
import re
import shlex
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from sandbox.config import untyped
from sandbox.errors import UsageError
from sandbox.init import project_folders
from sandbox.init.compose import merged_files, service, variables, volumes
from sandbox.init.compose.merge import listed
from sandbox.init.compose.service import COPIED, Project
from sandbox.init.compose.variables import Variables
from sandbox.init.detected import App, ToolFile, label, labels
from sandbox.system.files import is_file, is_inside

# In the order in which compose itself looks for them, and the overrides, of which one is read.
FILES = ("compose.yaml", "compose.yml", "docker-compose.yml", "docker-compose.yaml")
OVERRIDES = tuple(f"{name}.override.{end}" for name in ("compose", "docker-compose") for end in ("yml", "yaml"))
ENV = ".env"
# Variables whose values are hosts, such as DB_HOST, ES_HOSTS and DISCOVERY_SEED_ADDRESSES.
_OF_HOSTS = re.compile(r"(HOST|SERVER|ADDR|BROKER|NODE|MEMBER|SEED|PEER|JOIN)", re.IGNORECASE)
# A name with a port; not postgres:1234 of postgres://postgres:1234@db, or of an image postgres:12-alpine.
_PORT = re.compile(r"(?<![\w.-])([A-Za-z0-9][\w.-]*):([0-9]{2,5})(?![\w@-]|\.[0-9])")


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
    claims = volumes.claims(services.values(), folder)
    apps = _apps(services, Project(folder, sections, known, claims, has_manifests=has_manifests), notes)
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
    programs = {key: service.app(entry, project, names[key], notes) for key, entry in services.items()}
    # What has no image is left out.
    programs = {key: program for key, program in programs.items() if program.context is not None or program.image}
    if copied := [program.name for program in programs.values() if COPIED in program.recipe]:
        notes.append(f"what compose mounts is copied into the images of {', '.join(copied)}: see sandbox-*.Dockerfile")
    jobs = {
        str(name)
        for entry in services.values()
        for name, how in untyped.mapping(entry, "depends_on").items()
        if untyped.at(how, "condition") == "service_completed_successfully"  # others wait for its end
    }
    taken = set(names.values())
    apps: list[App] = []
    for key, program in programs.items():
        aliases = [alias for alias in dict.fromkeys(_aliases(key, services)) if label(alias) == alias]
        aliases = [alias for alias in aliases if alias not in taken and key not in jobs]
        taken.update(aliases)
        apps.append(replace(program, once=key in jobs, aliases=tuple(aliases)))
    names = {key: names[key] for key in programs}
    apps = _renamed(apps, names, notes)
    apps = _connected(apps, names)
    missing: dict[str, list[str]] = {}
    for key, entry in services.items():
        for file in variables.absent(entry.get("env_file"), project.folder):
            missing.setdefault(file, []).append(key)
    notes += [f"{file}, with variables of {', '.join(keys)}, is missing" for file, keys in missing.items()]
    return apps


def _aliases(key: str, services: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    for network in untyped.mapping(services[key], "networks").values():
        yield from map(str, listed(untyped.at(network, "aliases")))
    yield from (str(name) for setting in ("container_name", "hostname") if (name := services[key].get(setting)))
    for link in (str(link) for entry in services.values() for link in listed(entry.get("links"))):
        linked, _, alias = link.partition(":")
        if linked == key and alias:
            yield alias


# Kubernetes cannot call every service as compose does.
def _renamed(apps: Sequence[App], names: Mapping[str, str], notes: list[str]) -> list[App]:
    apps = list(apps)
    for key, name in names.items():
        if key != name:
            apps = [_calling(app, key, name) for app in apps]
            notes.append(f"{key} is called {name} in the cluster: change what else calls it")
    return apps


def _calling(app: App, key: str, name: str) -> App:
    # Not the user of pg://name:password@host, nor the database of pg://host/name.
    text = re.escape(key)
    host = re.compile(rf"(?:(?<=//)|(?<=@)){text}(?=[:/?]|$)(?![^\s/@]*@)|(?<![\w.-]){text}(?=:[0-9]{{2,5}}(?![\w@-]))")
    word = re.compile(rf"(?<![\w.:/-]){text}(?![\w.-])")

    def change(value: str, variable: str = "") -> str:
        return host.sub(name, word.sub(name, value) if _OF_HOSTS.search(variable) else value)

    return replace(
        app,
        environment={variable: change(value, variable) for variable, value in app.environment.items()},
        command=tuple(map(change, app.command)),
        args=tuple(map(change, app.args)),
        check=tuple(map(change, app.check)),
    )


# A Service has only the ports that it names: those at which the project's settings and files name the program.
def _connected(apps: Sequence[App], names: Mapping[str, str]) -> list[App]:
    called = {**names, **{app.name: app.name for app in apps}}
    called |= {alias: app.name for app in apps for alias in app.aliases}
    ports: dict[str, set[int]] = {}
    texts: set[str] = set()
    for app in apps:
        texts.update(app.environment.values(), app.command, app.args, app.check)
        texts.update(*(mount.files.values() for mount in app.mounts))
    for text in texts:
        for host, port in _PORT.findall(text):
            if host in called and int(port) < 65536:
                ports.setdefault(called[host], set()).add(int(port))
    result = []
    for app in apps:
        more = [(port, "tcp") for port in sorted(ports.get(app.name, ())) if port != app.port]
        result.append(replace(app, more_ports=tuple(dict.fromkeys((*app.more_ports, *more)))))
    return result
