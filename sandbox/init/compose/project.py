"""Reads the services of a compose file (the Compose Specification), as far as they can run in a cluster alike."""

from __future__ import annotations

import shlex
from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from sandbox.init.compose import hosts, merged_files, service, settings, variables, volumes
from sandbox.init.compose.service import Project
from sandbox.init.detected import App, label, labels

# In the order in which compose itself looks for them.
FILES = ("compose.yaml", "compose.yml", "docker-compose.yml", "docker-compose.yaml")


def load(path: Path, profiles: Collection[str] = (), *, has_manifests: bool = False) -> tuple[list[App], list[str]]:
    """Return the services of the file, and what was left out, in words; raises UsageError if it is not a compose file.

    A service with profiles is left out unless one of them is wanted: compose starts it only on request. Of a project
    that `has_manifests`, objects are written at most for its own program, and the others are only built.
    """
    found, notes = merged_files.load(path)
    known = variables.of_files(".env", path.parent)
    apart = _apart(found["services"], {*profiles, *_profiles(known)})
    idle = [name for name in apart if not has_manifests or found["services"][name].get("build")]
    if idle:
        absent = sorted(set().union(*(apart[name] for name in idle)))
        options = " ".join(f"--profile {shlex.quote(one)}" for one in absent)
        notes.append(f"{path.name}: {', '.join(idle)} left out, since only a profile starts them: add {options}")
    sections = {section: variables.filled(named, known) for section, named in found.items()}
    services = {name: one for name, one in sections["services"].items() if name not in apart}
    names = labels(services)
    project = Project(path.parent, sections, known, volumes.claims(services.values(), path.parent))
    apps = _apps(services, names, project, notes)
    written = {app.name: app for app in apps if app.is_whole or not has_manifests}
    there = {name: called for name, called in names.items() if called in written}
    apps, changed = hosts.renamed(apps, there, _containers(services, there))
    apps = hosts.connected(apps, names)
    notes += changed
    if any(value in app.environment.values() for app in written.values() for value in known.values() if value):
        notes.append(f"values of .env of {path.name} are in what is written: keep it out of git if they are secret")
    if any(mount.secret for app in written.values() for mount in app.mounts):
        notes.append(f"the secrets of {path.name} are in what is written: keep it out of git")
    return apps, notes


def _apps(
    services: Mapping[str, Mapping[str, Any]], names: Mapping[str, str], project: Project, notes: list[str]
) -> list[App]:
    """Return the programs of the services, and what is left out of them in the notes.

    What several have is the first one's: an alias, the claim of a volume, a ConfigMap or Secret.
    """
    ending = {name for one in services.values() for name in _awaited(one.get("depends_on"))}
    ending |= {name for name, one in services.items() if _ends(one)}
    taken = set(names.values())
    apps: list[App] = []
    for name, one in services.items():
        app = service.app(name, one, project, notes, called=names[name])
        aliases = [each for each in settings.aliases(one) if each != name]
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
    return apps


def _called(name: str, services: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """Yield the names that a service's container has, and those that links of others give it."""
    yield from (str(said) for key in ("container_name", "hostname") if (said := services[name].get(key)))
    for link in (str(one) for other in services.values() for one in merged_files.listed(other.get("links"))):
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


def _apart(services: Mapping[str, Mapping[str, Any]], wanted: Collection[str]) -> dict[str, set[str]]:
    """Return the services that none of the wanted profiles starts, with theirs."""
    profiles = {name: set(map(str, merged_files.listed(one.get("profiles")))) for name, one in services.items()}
    return {name: own for name, own in profiles.items() if own and own.isdisjoint(wanted) and "*" not in wanted}


def _ends(service: Mapping[str, Any]) -> bool:
    """Tell whether a service does something and ends: it says what is the default, and nothing else uses it."""
    said = str(service.get("restart")).lower()
    used = ("expose", "healthcheck", "ports", "stdin_open", "tty")
    return said in ("no", "false") and not any(service.get(key) for key in used)


def _awaited(given: Any) -> Iterator[str]:
    """Yield the services that have to end before another one starts."""
    for name, how in given.items() if isinstance(given, dict) else ():
        if isinstance(how, dict) and how.get("condition") == "service_completed_successfully":
            yield str(name)
