"""Reads the files of a compose project: overrides, included files and extended services, with variables filled in.

Source: Compose Specification, 13-merge.md, 14-include.md, and `extends` of 05-services.md. Paths become relative to the
project's folder.
"""

from __future__ import annotations

import posixpath
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sandbox.config import text_file, untyped, yaml_text
from sandbox.errors import BadFile
from sandbox.init.compose.merge import listed, merged
from sandbox.init.compose.variables import Variables, of_files
from sandbox.init.project_folders import has

FIX = "correct it, or move it away"
DEEPEST = 16  # services that extend others, and files that include others
SECTIONS = ("services", "secrets", "configs", "volumes")
# What files define, by section and name.
Sections = dict[str, dict[str, Any]]


def load(root: Path, files: Sequence[str], variables: Variables, notes: list[str]) -> Sections:
    """Return what the files define; their paths are from where the first one is. Raises BadFile."""
    reading = _Reading(root, variables, notes)
    sections: Sections = {}
    for file in files:
        sections = _combined(sections, reading.file(file, posixpath.dirname(files[0])))
    if not sections["services"]:
        raise BadFile(f"{root / files[0]} has no services", fix=FIX)
    return sections


def document(path: Path) -> Any:
    try:
        return yaml_text.compose_document(text_file.read(path))
    except yaml_text.Refused as error:
        fault = error.faults[0]
        raise BadFile(f"{path}:{fault.line}: {fault.message}", fix=fault.fix or FIX) from error


@dataclass
class _Reading:
    root: Path
    variables: Variables
    notes: list[str]

    def file(self, path: str, below: str, depth: int = DEEPEST) -> Sections:
        """Return what a file defines, with what it includes; its paths are from the folder `below`."""
        if not has(self.root, path):
            self.notes.append(f"{path} is left out: it is not in this folder")
            return _combined({}, {})
        if not depth:
            raise BadFile(f"{self.root / path} is included or extended in a circle", fix=FIX)
        content = self.variables.filled(document(self.root / path))
        sections: Sections = {}
        for entry in listed(untyped.at(content, "include")):
            settings = entry if isinstance(entry, Mapping) else {"path": entry}
            for included in listed(settings.get("path")):
                place = posixpath.normpath(posixpath.join(below, str(included)))
                folder = posixpath.dirname(place)
                env = [posixpath.join(below, str(file)) for file in listed(settings.get("env_file"))]
                added = of_files(env or [posixpath.join(folder, ".env")], self.root, self.variables)
                values = {**{key: value or "" for key, value in added.items()}, **self.variables.values}
                reading = replace(self, variables=Variables(values, self.variables.unset))
                sections = _combined(sections, reading.file(place, folder, depth - 1))
        own = {section: _entries(content, section) for section in SECTIONS}
        moved = {
            section: {name: _moved(entry, below) for name, entry in own[section].items()} for section in SECTIONS[1:]
        }
        services = {name: self._service(name, own["services"], below, depth) for name in own["services"]}
        return _combined(sections, {**moved, "services": services})

    def _service(self, name: str, services: Mapping[str, Any], below: str, depth: int) -> dict[str, Any]:
        own = _moved({key: value for key, value in services[name].items() if key != "extends"}, below)
        extended = services[name].get("extends")
        if extended is None:
            return own
        if not depth:
            raise BadFile(f"the service {name} of a compose file extends itself", fix=FIX)
        base_name = str(extended.get("service") if isinstance(extended, Mapping) else extended)
        file = untyped.at(extended, "file")
        base = None
        if file is not None:
            place = posixpath.normpath(posixpath.join(below, str(file)))
            base = self.file(place, posixpath.dirname(place), depth - 1)["services"].get(base_name)
        elif base_name in services:
            base = self._service(base_name, services, below, depth - 1)
        if base is None:
            self.notes.append(f"the service {base_name}, which {name} extends, is not found")
        whole: dict[str, Any] = merged(base, own)
        return whole


def _combined(base: Sections, over: Sections) -> Sections:
    return {
        section: {
            **base.get(section, {}),
            **{name: merged(base.get(section, {}).get(name), entry) for name, entry in over.get(section, {}).items()},
        }
        for section in SECTIONS
    }


def _moved(entry: Mapping[str, Any], below: str) -> dict[str, Any]:
    def path(text: Any) -> Any:
        return posixpath.normpath(posixpath.join(below, text)) if isinstance(text, str) and "://" not in text else text

    def volume(setting: Any) -> Any:
        if isinstance(setting, str) and setting.startswith("."):
            source, colon, rest = setting.partition(":")
            return f"./{path(source)}{colon}{rest}"
        if isinstance(setting, Mapping) and str(setting.get("source", "")).startswith("."):
            return {**setting, "source": f"./{path(setting['source'])}"}
        return setting

    def file(setting: Any) -> Any:
        return {**setting, "path": path(setting.get("path"))} if isinstance(setting, Mapping) else path(setting)

    moved = dict(entry)
    if "file" in moved:
        moved["file"] = path(moved["file"])
    if (build := moved.get("build")) is not None:
        settings = build if isinstance(build, Mapping) else {"context": build}
        moved["build"] = {**settings, "context": path(settings.get("context", "."))}
    if "env_file" in moved:
        moved["env_file"] = [file(setting) for setting in listed(moved["env_file"])]
    if watched := untyped.mappings(moved, "develop", "watch"):
        moved["develop"] = {"watch": [file(rule) for rule in watched]}
    if "volumes" in moved:
        moved["volumes"] = [volume(setting) for setting in listed(moved["volumes"])]
    return moved


def _entries(content: Any, section: str) -> dict[str, dict[str, Any]]:
    entries = untyped.mapping(content, section)
    return {str(name): entry or {} for name, entry in entries.items() if isinstance(entry, dict) or entry is None}
