"""What a compose file defines, with what belongs to it elsewhere: overrides, included files, extended services.

They are put together as the Compose Specification says (13-merge.md, 14-include.md, `extends` of 05-services.md).
"""

from __future__ import annotations

import os
import posixpath
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from sandbox.config import text_file, yaml_text
from sandbox.config.yaml_text import Replacing
from sandbox.errors import BadFile, UsageError
from sandbox.init.compose import volumes
from sandbox.system.files import is_file, is_inside

# What compose reads besides its file, if one is there.
OVERRIDES = tuple(f"{name}.override.{end}" for name in ("compose", "docker-compose") for end in ("yml", "yaml"))
FIX = "correct it, or move it away"
DEEPEST = 16  # services that extend others
SECTIONS = ("services", "secrets", "configs")
# What a file defines, by section and name; until all are read, also what replaces that of another.
Sections = dict[str, dict[str, Any]]
# Lists of NAME=VALUE or of names that are maps too, and settings that take the place of others whole.
MAPS = ("args", "depends_on", "environment", "labels", "networks")
WHOLE = ("command", "entrypoint", "test")


def load(path: Path) -> tuple[Sections, list[str]]:
    """Return services, secrets and configs by name, with paths from the folder of the file, and what was left out.

    Raises BadFile when it is no such file.
    """
    content, folder = _content(path), path.parent
    if not isinstance(content, dict) or not (content.get("include") or isinstance(content.get("services"), dict)):
        raise BadFile(f"{path} has no services", fix=FIX)
    notes: list[str] = []
    seen = {os.path.normpath(path)}
    found = _sections(content, folder, notes, seen)
    for name in [name for name in OVERRIDES if (folder / name).is_file()][:1]:
        found = _combined(found, _elsewhere(folder, name, notes, seen))
    whole: Sections = _plain(found)
    return whole, list(dict.fromkeys(notes))


def _sections(content: Any, folder: Path, notes: list[str], seen: set[str]) -> Sections:
    """Return what the content of a file in the folder says, with what it includes; `seen` are the files so far."""
    found: Sections = {section: {} for section in SECTIONS}
    for one in listed(content.get("include") if isinstance(content, Mapping) else None):
        given = one if isinstance(one, Mapping) else {"path": one}
        files = listed(given.get("path"))
        below = str(given.get("project_directory") or posixpath.dirname(str(next(iter(files), ""))))
        lost = listed(given.get("env_file"))
        notes += [
            f"the variables of {each} for {', '.join(map(str, files))} are left out: add them to .env" for each in lost
        ]
        for file in files:
            found = _combined(found, _elsewhere(folder, file, notes, seen, below))
    own = {section: _entries(content, section) for section in SECTIONS}
    services = own["services"]
    odd = [name for name in _section(content, "services") if str(name) not in services]
    notes += [f"{name} is left out: its settings, such as `image:`, have to be below its name" for name in odd]
    own["services"] = {
        name: one if isinstance(one, Replacing) else _whole(one, services, folder, notes)
        for name, one in services.items()
    }
    return _combined(found, own)


def _combined(base: Sections, over: Sections) -> Sections:
    """Return what two files define together; the second's settings replace or extend the first's."""
    return {
        section: {**base[section], **{name: merged(base[section].get(name, {}), one) for name, one in named.items()}}
        for section, named in over.items()
    }


def merged(base: Any, over: Any, key: str = "") -> Any:
    """Return what two settings of the same `key` say together."""
    if isinstance(over, Replacing):
        return over
    if isinstance(base, Replacing):
        base = base.value
    if key in WHOLE or base is None or over is None:
        return over
    if key == "build":
        base, over = ({"context": one} if isinstance(one, str) else one for one in (base, over))
    if key in MAPS:
        base, over = _map(base), _map(over)
    if isinstance(base, Mapping) and isinstance(over, Mapping):
        return {**base, **{name: merged(base.get(name), value, str(name)) for name, value in over.items()}}
    if isinstance(base, list) or (isinstance(over, list) and key == "env_file"):
        added = listed(over)
        places = {place for _, place in volumes.pairs(added)} if key == "volumes" else set()
        kept = [one for one in listed(base) if not places & {place for _, place in volumes.pairs([one])}]
        return [*kept, *(one for one in added if one not in kept)]
    return over


def _plain(content: Any) -> Any:
    """Return the content with the values of what replaced others, and without what was reset."""
    match content:
        case Replacing(value):
            return _plain(value)
        case list():
            return [_plain(one) for one in content]
        case dict():
            return {key: _plain(one) for key, one in content.items() if one != Replacing(None)}
        case _:
            return content


def listed(given: Any) -> list[Any]:
    """Return a list, or what stands alone as one; nothing where nothing is given."""
    return given if isinstance(given, list) else [] if given is None else [given]


def _whole(
    service: Mapping[str, Any], others: Mapping[str, Any], folder: Path, notes: list[str], depth: int = DEEPEST
) -> dict[str, Any]:
    """Return the service with what it extends."""
    own = {key: value for key, value in service.items() if key != "extends"}
    extended = service.get("extends")
    if extended is None:
        return own
    name = extended.get("service") if isinstance(extended, Mapping) else extended
    file = extended.get("file") if isinstance(extended, Mapping) else None
    if file is not None:
        base = _extended(folder, file, str(name), notes, depth - 1)
    else:
        given = others.get(str(name))
        base = _whole(given, others, folder, notes, depth - 1) if isinstance(given, Mapping) and depth > 0 else None
    if base is None:
        notes.append(f"the service {name}, which another extends, is not found")
        return own
    whole: dict[str, Any] = merged(base, own)
    return whole


def _elsewhere(folder: Path, file: Any, notes: list[str], seen: set[str], below: str = "") -> Sections:
    """Return what another file of the project says, with paths from `folder`; nothing where it cannot be used.

    Its own paths are those of the folder `below`.
    """
    path = folder / str(file)
    content = _read(folder, file, notes) if os.path.normpath(path) not in seen else None
    seen.add(os.path.normpath(path))
    found = _sections(content, folder / below, notes, seen)
    return {section: {name: _moved(one, below) for name, one in named.items()} for section, named in found.items()}


def _extended(folder: Path, file: Any, name: str, notes: list[str], depth: int) -> dict[str, Any] | None:
    """Return a service of another file of the project, with paths from `folder`."""
    found = _entries(_read(folder, file, notes) if depth > 0 else None, "services")
    if not isinstance(found.get(name), dict):
        return None
    whole = _whole(found[name], found, (folder / str(file)).parent, notes, depth)
    moved: dict[str, Any] = _moved(whole, posixpath.dirname(str(file)))
    return moved


def _read(folder: Path, file: Any, notes: list[str]) -> Any:
    """Return the content of another file of the project; None, with a note, where it cannot be used."""
    path = folder / str(file)
    if not is_inside(folder, path) or not is_file(path):
        notes.append(f"{file} is left out: it is not in this folder")
        return None
    try:
        return _content(path)
    except UsageError as error:
        notes.append(f"{file} is left out: {' '.join(error.details.split()) or error.brief}")
        return None


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

    service = _plain(service)
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


def _content(path: Path) -> Any:
    try:
        return yaml_text.document(text_file.read(path), core=True)
    except yaml.YAMLError as error:
        raise BadFile(f"{path} cannot be read", details=yaml_text.reason(error), fix=FIX) from error


def _entries(content: Any, section: str) -> dict[str, Any]:
    """Return the well-formed entries of a section, by name."""
    return {str(name): one for name, one in _section(content, section).items() if isinstance(one, dict | Replacing)}


def _section(content: Any, section: str) -> Mapping[Any, Any]:
    found = content.get(section) if isinstance(content, Mapping) else None
    return found if isinstance(found, Mapping) else {}


def _map(given: Any) -> Any:
    return dict(_pairs(given)) if isinstance(given, list) else given


def _pairs(given: list[Any]) -> Iterator[tuple[str, Any]]:
    for one in given:
        key, equals, value = str(one).partition("=")
        yield key, value if equals else None
