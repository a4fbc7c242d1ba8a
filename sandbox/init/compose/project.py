"""Reads the services of a compose file (the Compose Specification), as far as they can run in a cluster alike."""

from __future__ import annotations

import os
import posixpath
import re
import shlex
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sandbox.config import untyped
from sandbox.errors import UsageError
from sandbox.init import project_folders
from sandbox.init.compose import (
    hosts,
    merged_files,
    mounted_code,
    service,
    service_ports,
    settings,
    variables,
    volumes,
)
from sandbox.init.compose.merge import listed
from sandbox.init.compose.service import Project
from sandbox.init.compose.variables import Variables
from sandbox.init.detected import App, label, labels
from sandbox.system.files import is_file, is_inside

# In the order in which compose itself looks for them, and what it reads besides, if one is there.
FILES = ("compose.yaml", "compose.yml", "docker-compose.yml", "docker-compose.yaml")
OVERRIDES = tuple(f"{name}.override.{end}" for name in ("compose", "docker-compose") for end in ("yml", "yaml"))
ENV = ".env"
# What projects call a file to make that one of.
_KIND = r"(default|dist|example|sample|template)"
# Variables that compose sets itself, from what is no secret.
_SET = "COMPOSE_"
_EXAMPLE = re.compile(rf"\.?env[-._]{_KIND}|\.?{_KIND}[-._]env")


@dataclass(frozen=True)
class Compose:
    """The content of a compose project: its programs, its name if it says one, its profiles, and what it lacks."""

    apps: tuple[App, ...]
    name: str
    notes: tuple[str, ...]
    profiles: frozenset[str]


def load(folder: Path, profiles: Collection[str] = (), *, has_manifests: bool = False) -> Compose | None:
    """Return the project of the folder, or None where there is no compose file. Raises UsageError for one that is none.

    A service with profiles is left out unless one of them is wanted: compose starts it only on request. Of a project
    that `has_manifests`, objects are written at most for its own program, and the others are only built.
    """
    notes: list[str] = []
    known = variables.of_files(ENV, folder)
    files = _files(folder, known, notes)
    if not files:
        return None
    main = files[0]
    examples = (one.name for one in project_folders.listed(folder) if _EXAMPLE.fullmatch(one.name) and is_file(one))
    if not is_file(folder / ENV) and (example := next(examples, None)):
        notes.append(f"there is no {ENV}: `cp {example} {ENV}` before `sandbox init` gives variables a value")
    if below := posixpath.dirname(main):
        known = {**variables.of_files(posixpath.join(below, ENV), folder, known), **known}
    name = _name(folder, files, known)
    known.setdefault("COMPOSE_PROJECT_NAME", name or _normal((folder / main).parent.absolute().name))
    sections, found_notes = merged_files.load(folder, files, known)
    notes += found_notes
    return read(
        Project(folder, sections, known), profiles, main=main, name=name, notes=notes, has_manifests=has_manifests
    )


def read(
    project: Project,
    profiles: Collection[str] = (),
    *,
    main: str,
    name: str,
    notes: list[str],
    has_manifests: bool = False,
) -> Compose:
    """Return the programs of a project that the file `main` defines; `notes` are those of what was read before."""
    folder, sections, known = project.folder, project.sections, project.known
    found, defined = sections["services"], sections["volumes"]
    of_services = {name: frozenset(map(str, listed(one.get("profiles")))) for name, one in found.items()}
    apart = _apart(of_services, {*profiles, *_profiles(known)})
    notes += _idle(main, {one: own for one, own in apart.items() if not has_manifests or found[one].get("build")})
    services = {one: volumes.bound(said, defined, folder) for one, said in found.items() if one not in apart}
    names = labels(services)
    project = replace(project, claims=volumes.claims(services.values(), folder), has_manifests=has_manifests)
    made = {one: service.app(one, said, project, notes, called=names[one]) for one, said in services.items()}
    # What has no image is left out, and defines nothing for others.
    made = mounted_code.shared({one: app for one, app in made.items() if app.context is not None or app.image}, notes)
    services, names = {one: services[one] for one in made}, {one: names[one] for one in made}
    apps = _apps(made, services, names, notes)
    notes += _absent(services, folder)
    written = {app.name: app for app in apps if app.is_whole or not has_manifests}
    there = {one: called for one, called in names.items() if called in written}
    apps, changed = hosts.renamed(apps, there, _containers(services, there))
    apps = hosts.connected(apps, names, {names[one]: _ready(said, names) for one, said in services.items()})
    notes += changed
    notes += hosts.of_the_machine(list(written.values()))
    published = {port: names[one] for one, said in services.items() for port in service_ports.published(said)}
    notes += hosts.of_published([one for one in written.values() if not one.once], published)
    notes += _emptied(written.values())
    notes += volumes.emptied((services[one] for one in there), defined, folder)
    notes += _confidential(main, written.values(), known)
    bases = {app.base.name: app.base for app in apps if app.base}
    return Compose((*bases.values(), *apps), name, tuple(notes), frozenset().union(*of_services.values()))


def _idle(main: str, apart: Mapping[str, Collection[str]]) -> Iterator[str]:
    """Yield a note of the services that only one of their profiles starts."""
    if apart:
        options = " ".join(f"--profile {shlex.quote(one)}" for one in sorted(set().union(*apart.values())))
        yield f"{main}: {', '.join(apart)} left out, since only a profile starts them: add {options}"


def _absent(services: Mapping[str, Mapping[str, Any]], folder: Path) -> Iterator[str]:
    """Yield a note for each file of variables that is not there."""
    absent: dict[str, list[str]] = {}
    for name, one in services.items():
        for file in variables.absent(one.get("env_file"), folder):
            absent.setdefault(file, []).append(name)
    for file, names in absent.items():
        yield f"the variables of {', '.join(names)} in {file} are left out: it is not in this folder"


def _confidential(main: str, written: Collection[App], known: Variables) -> Iterator[str]:
    """Yield notes of what is written and may be secret."""
    secret = {value for key, value in known.items() if value and not key.startswith(_SET)}
    if any(value in secret for app in written for value in app.environment.values()):
        yield f"values of .env of {main} are in what is written: keep it out of git if they are secret"
    if any(mount.secret for app in written for mount in app.mounts):
        yield f"the secrets of {main} are in what is written: keep it out of git"


def _files(folder: Path, known: Variables, notes: list[str]) -> list[str]:
    """Return the paths of the project's files: those that COMPOSE_FILE of `.env` names, else the usual ones."""
    said = known.get("COMPOSE_FILE") or ""
    named = [posixpath.normpath(one) for one in said.split(known.get("COMPOSE_PATH_SEPARATOR") or ":") if one]
    there = [one for one in named if project_folders.has(folder, one)]
    absent = [one for one in named if one not in there]
    notes += [f"{one}, which COMPOSE_FILE names, is left out: it is not in this folder" for one in absent]
    if there:
        return there
    main = next((one for one in FILES if (folder / one).exists()), None)
    if main is None:
        return []
    if not is_inside(folder, folder / main):
        raise UsageError(
            f"{folder / main} is a link that leaves {folder}",
            details=os.path.realpath(folder / main),
            fix="put the file there",
        )
    return [main, *[one for one in OVERRIDES if is_file(folder / one)][:1]]


def _name(folder: Path, files: Iterable[str], known: Variables) -> str:
    """Return the name that `.env` or the last of the files gives the project; empty where none does."""
    said = [known.get("COMPOSE_PROJECT_NAME")]
    for file in reversed(list(files)):
        with suppress(UsageError):  # it is reported when the whole file is read
            given = untyped.at(merged_files.document(folder / file), "name")
            said.append(variables.whole(variables.filled(given, known)) if isinstance(given, str) else None)
    return next(filter(None, said), "")


def _normal(name: str) -> str:
    """Return a folder's name as compose calls a project in it."""
    return re.sub(r"[^-_a-z0-9]", "", name.lower()).lstrip("-_")


def _apps(
    made: Mapping[str, App], services: Mapping[str, Mapping[str, Any]], names: Mapping[str, str], notes: list[str]
) -> list[App]:
    """Return the programs that were `made` of services with what they share: an alias, a claim, a ConfigMap or Secret.

    Each is the first one's that has it.
    """
    named = set().union(*hosts.mentions(list(made.values()), names).values())
    told = {name for one in services.values() for name in _awaited(one, "service_completed_successfully")}
    ending = told | {name for name, one in services.items() if _ends(one) and names[name] not in named}
    taken = set(names.values())
    apps: list[App] = []
    for name, one in services.items():
        app, aliases = made[name], [each for each in settings.aliases(one) if each != name]
        others = dict.fromkeys((*aliases, *_called(name, services)))
        used = [each for each in others if label(each) == each and each not in taken and name not in ending]
        unused = [f"networks.aliases.{each}" for each in aliases if each not in used]
        taken.update(used)
        seen = {volume for each in apps for volume in each.volumes}
        apps.append(
            replace(
                app,
                once=name in ending,
                aliases=tuple(used),
                volumes=tuple(volume for volume in dict.fromkeys(app.claims.values()) if volume not in seen),
                elsewhere=tuple(mount for each in apps for mount in each.mounts if mount.name),
                left_out=tuple(sorted((*app.left_out, *unused))),
            )
        )
    notes += [
        f'{names[name]} is a Job, since its service says restart: "no": where its program does not end, `up` waits for '
        "it in vain; remove that line before"
        for name in services
        if name in ending - told
    ]
    return apps


def _emptied(apps: Collection[App]) -> Iterator[str]:
    """Yield a note for each volume that is for what one program's image has there, and another one reads."""
    read = {claim for app in apps for place, claim in app.claims.items() if place in app.read_only}
    for app in apps:
        for place, claim in app.claims.items():
            if claim in read and app.context is not None and place not in app.read_only:
                read.remove(claim)
                yield f"the volume {claim} begins empty; compose puts what the image of {app.name} has at {place} there"


def _called(name: str, services: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """Yield the names that a service's container has, and those that links of others give it."""
    yield from (str(said) for key in ("container_name", "hostname") if (said := services[name].get(key)))
    for link in (str(one) for other in services.values() for one in listed(other.get("links"))):
        linked, _, alias = link.partition(":")
        if linked == name and alias:
            yield alias


def _containers(services: Mapping[str, Mapping[str, Any]], names: Mapping[str, str]) -> dict[str, str]:
    """Return the services in the cluster by those names of their containers that none can have there."""
    called = {str(one.get("container_name") or ""): names[name] for name, one in services.items() if name in names}
    return {one: there for one, there in called.items() if one and label(one) != one and one not in names}


def _profiles(known: Mapping[str, str | None]) -> list[str]:
    """Return the profiles that the project's variables ask for."""
    return [one.strip() for one in (known.get("COMPOSE_PROFILES") or "").split(",")]


def _apart(profiles: Mapping[str, frozenset[str]], wanted: Collection[str]) -> dict[str, frozenset[str]]:
    """Return the services that none of the wanted profiles starts, with theirs."""
    return {name: own for name, own in profiles.items() if own and own.isdisjoint(wanted) and "*" not in wanted}


def _ends(service: Mapping[str, Any]) -> bool:
    """Tell whether a service does something and ends: it says what is the default, and nothing else uses it."""
    said = str(service.get("restart")).lower()
    used = ("expose", "healthcheck", "ports", "stdin_open", "tty")
    return said in ("no", "false") and not any(service.get(key) for key in used)


def _awaited(service: Mapping[str, Any], condition: str) -> Iterator[str]:
    """Yield the services that have to be in the condition before this one starts."""
    for name, how in untyped.mapping(service, "depends_on").items():
        if untyped.at(how, "condition") == condition:
            yield str(name)


def _ready(service: Mapping[str, Any], names: Mapping[str, str]) -> set[str]:
    """Return the programs, by their names in the cluster, that are ready before the service starts."""
    return {names[one] for one in _awaited(service, "service_healthy") if one in names}
