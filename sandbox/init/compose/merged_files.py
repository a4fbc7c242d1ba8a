"""What a compose project defines, in all its files: overrides, included files, extended services.

They are put together as the Compose Specification says (13-merge.md, 14-include.md, `extends` of 05-services.md), with
their variables filled in.
"""

from __future__ import annotations

import os
import posixpath
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from sandbox.config import text_file, untyped, yaml_text
from sandbox.config.yaml_text import Replacing
from sandbox.errors import BadFile, UsageError
from sandbox.init.compose import variables
from sandbox.init.compose.merge import as_map, listed, merged, plain
from sandbox.init.compose.variables import Variables
from sandbox.init.project_folders import has

FIX = "correct it, or move it away"
DEEPEST = 16  # services that extend others
SECTIONS = ("services", "secrets", "configs", "volumes")
# What a file defines, by section and name; until all are read, also what replaces that of another.
Sections = dict[str, dict[str, Any]]


def load(folder: Path, files: Sequence[str], known: Variables) -> tuple[Sections, list[str]]:
    """Return services, secrets, configs and volumes by name, with paths from the folder, and what was left out.

    Paths in the files are from where the first one is. Raises BadFile when that is no such file.
    """
    content = document(folder / files[0])
    if not isinstance(content, dict) or not (content.get("include") or isinstance(content.get("services"), dict)):
        raise BadFile(f"{folder / files[0]} has no services", fix=FIX)
    return added({}, folder, files, known)


def added(base: Sections, folder: Path, files: Sequence[str], known: Variables) -> tuple[Sections, list[str]]:
    """Return what the sections and the files define together, as `load` does of files alone."""
    reading = _Reading(folder)
    below = posixpath.dirname(next(iter(files), ""))
    found: Sections = _combined(base, {})
    for file in files:
        found = _combined(found, reading.file(folder, file, known, below))
    whole: Sections = plain(found)
    return whole, list(dict.fromkeys(reading.notes))


def document(path: Path) -> Any:
    """Return the content of a compose file as it is written. Raises UsageError."""
    try:
        return yaml_text.document(text_file.read(path), core=True)
    except yaml.YAMLError as error:
        raise BadFile(f"{path} cannot be read", details=yaml_text.reason(error), fix=FIX) from error


@dataclass
class _Reading:
    """The files of the project in `root` that are `seen` so far, and what users have to know of them."""

    root: Path
    notes: list[str] = field(default_factory=list)
    seen: set[str] = field(default_factory=set)

    def file(self, folder: Path, file: Any, known: Variables, below: str) -> Sections:
        """Return what a file says, with paths from `folder`; nothing where it cannot be used.

        Its own paths are those of the folder `below`.
        """
        path = os.path.normpath(folder / str(file))
        content = self._content(folder, file, known) if path not in self.seen else None
        self.seen.add(path)
        found = self._sections(content, folder / below, known)
        return {section: {name: _moved(one, below) for name, one in named.items()} for section, named in found.items()}

    def _sections(self, content: Any, folder: Path, known: Variables) -> Sections:
        """Return what the content of a file in the folder says, with what it includes."""
        found: Sections = {}
        for one in listed(untyped.at(content, "include")):
            found = _combined(found, self._included(one, folder, known))
        own = {section: _entries(content, section) for section in SECTIONS}
        services = own["services"]
        odd = [name for name in untyped.mapping(content, "services") if str(name) not in services]
        self.notes += [f"{name} is left out: its settings, such as `image:`, have to be below its name" for name in odd]
        own["services"] = {
            name: one if isinstance(one, Replacing) else self._whole(one, services, folder, known)
            for name, one in services.items()
        }
        return _combined(found, own)

    def _included(self, given: Any, folder: Path, known: Variables) -> Sections:
        """Return what an entry of `include` means; its variables do not change those of the project."""
        given = given if isinstance(given, Mapping) else {"path": given}
        files = [str(one) for one in listed(given.get("path"))]
        below = str(given.get("project_directory") or posixpath.dirname(next(iter(files), "")))
        said = given.get("env_file")
        self.notes += [
            f"the variables of {one} for {', '.join(files)} are left out: it is not in this folder"
            for one in variables.absent(said, folder, self.root)
        ]
        own = variables.of_files(posixpath.join(below, ".env") if said is None else said, folder, known, self.root)
        inner = {**own, **known}
        found: Sections = {}
        for file in files:
            found = _combined(found, self.file(folder, file, inner, below))
        return {**found, "services": {name: _named(one, inner) for name, one in found.get("services", {}).items()}}

    def _whole(
        self,
        service: Mapping[str, Any],
        others: Mapping[str, Any],
        folder: Path,
        known: Variables,
        depth: int = DEEPEST,
    ) -> dict[str, Any]:
        """Return the service with what it extends."""
        own = {key: value for key, value in service.items() if key != "extends"}
        extended = service.get("extends")
        if extended is None:
            return own
        name = extended.get("service") if isinstance(extended, Mapping) else extended
        file = untyped.at(extended, "file")
        if file is not None:
            base = self._extended(folder, file, str(name), known, depth - 1)
        else:
            given = others.get(str(name)) if depth > 0 else None
            base = self._whole(given, others, folder, known, depth - 1) if isinstance(given, Mapping) else None
        if base is None:
            self.notes.append(f"the service {name}, which another extends, is not found")
            return own
        whole: dict[str, Any] = merged(base, own)
        return whole

    def _extended(self, folder: Path, file: Any, name: str, known: Variables, depth: int) -> dict[str, Any] | None:
        """Return a service of another file of the project, with paths from `folder`."""
        found = _entries(self._content(folder, file, known) if depth > 0 else None, "services")
        if not isinstance(found.get(name), dict):
            return None
        whole = self._whole(found[name], found, (folder / str(file)).parent, known, depth)
        moved: dict[str, Any] = _moved(whole, posixpath.dirname(str(file)))
        return moved

    def _content(self, folder: Path, file: Any, known: Variables) -> Any:
        """Return the content of a file of the project; None, with a note, where it cannot be used."""
        path = folder / str(file)
        if not has(self.root, path):
            self.notes.append(f"{file} is left out: it is not in this folder")
            return None
        try:
            return variables.filled(document(path), known)
        except UsageError as error:
            self.notes.append(f"{file} is left out: {' '.join(error.details.split()) or error.brief}")
            return None


def _combined(base: Sections, over: Sections) -> Sections:
    """Return what two files define together; the second's settings replace or extend the first's."""
    return {
        section: {
            **base.get(section, {}),
            **{name: merged(base.get(section, {}).get(name, {}), one) for name, one in over.get(section, {}).items()},
        }
        for section in SECTIONS
    }


def _named(service: Any, known: Variables) -> Any:
    """Return the service of an included file with the values of those variables that it only names."""
    environment = as_map(untyped.at(service, "environment"))
    if not isinstance(environment, Mapping):
        return service
    values = {key: known.get(str(key)) for key, value in environment.items() if value is None}
    said = {key: value.replace("$", "$$") for key, value in values.items() if value is not None}
    return {**service, "environment": {**environment, **said}}


def _moved(service: Any, below: str) -> Any:
    """Return the service, secret or config of a file in the folder `below` with its paths from here."""
    if not below or isinstance(service, Replacing):
        return service

    def path(text: Any) -> Any:
        return posixpath.normpath(posixpath.join(below, text)) if isinstance(text, str) and "://" not in text else text

    def volume(one: Any) -> Any:
        if isinstance(one, str) and one.startswith("."):
            source, colon, rest = one.partition(":")
            return f"./{path(source)}{colon}{rest}"
        if isinstance(one, Mapping) and str(one.get("source", "")).startswith("."):
            return {**one, "source": f"./{path(one['source'])}"}
        return one

    service = plain(service)
    moved = dict(service)
    if "file" in service:
        moved["file"] = path(service["file"])
    if (build := service.get("build")) is not None:
        given = build if isinstance(build, Mapping) else {"context": build}
        moved["build"] = {**given, "context": path(given.get("context", "."))}
    if "env_file" in service:
        files = listed(service["env_file"])
        moved["env_file"] = [
            {**one, "path": path(one.get("path"))} if isinstance(one, Mapping) else path(one) for one in files
        ]
    if isinstance(develop := service.get("develop"), Mapping):
        watched = [one for one in listed(develop.get("watch")) if isinstance(one, Mapping)]
        moved["develop"] = {**develop, "watch": [{**one, "path": path(one.get("path"))} for one in watched]}
    if "volumes" in service:
        moved["volumes"] = [volume(one) for one in listed(service["volumes"])]
    return moved


def _entries(content: Any, section: str) -> dict[str, Any]:
    """Return the well-formed entries of a section, by name."""
    found = untyped.mapping(content, section)
    return {str(name): one for name, one in found.items() if isinstance(one, dict | Replacing)}
