"""Sorts the volumes, secrets and configs of a compose service: data that is kept, files that are read, source code."""

import os
import posixpath
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from sandbox.config import text_file, untyped
from sandbox.errors import UsageError
from sandbox.init.compose.merge import listed
from sandbox.init.detected import Mount, labels
from sandbox.init.project_folders import has, is_text
from sandbox.system.files import is_dir, is_file, is_inside

# Fits into a ConfigMap, which can hold 1 MiB.
MAX_FILES, MAX_BYTES = 50, 512 << 10
# Folders that a build fills, and that engines copy into a new volume; a claim would hide them.
BUILT = {"node_modules", "vendor", ".venv", "venv", ".next"}
# Files that only keep an empty folder in git.
KEEPING = {".gitignore", ".gitkeep", ".keep"}
# Folders of the machine, which are no data of the project.
_OF_THE_SYSTEM = re.compile(r"/(dev|etc|lib|proc|run|sys|tmp|usr|var/(lib/docker|log|run))(/.*)?")
KINDS = ("bind", "volume")
PLACES = {"secrets": "/run/secrets/", "configs": "/"}


@dataclass
class Volumes:
    """Claims by their places, mounts of text files, and folders with their places in the container.

    Those of `sync` are paths in the build's context, those of `copied` in the project's folder.
    """

    claims: dict[str, str] = field(default_factory=dict)
    mounts: list[Mount] = field(default_factory=list)
    sync: dict[str, str] = field(default_factory=dict)
    copied: dict[str, str] = field(default_factory=dict)


def claims(services: Iterable[Mapping[str, Any]], root: Path) -> dict[str, str]:
    """Return the names of the claims for the services' volumes, by the volumes' names or paths.

    Folders for data, which compose creates at the first start, are such volumes too.
    """
    sources = (
        source
        for service in services
        for source, place in _volumes(service)
        if source and (not _is_path(source) or _holds_data(source, root, place))
    )
    return labels(_name(source) for source in sources)


def sort(
    service: Mapping[str, Any], root: Path, context: str | None, names: Mapping[str, str], left_out: list[str]
) -> Volumes:
    """Sort the volumes of a service whose image is built from `context`; `names` are those of claims."""
    volumes = Volumes()
    built = root / context if context is not None else None
    for source, place in _volumes(service):
        if not source or not re.fullmatch(r"/.*[^/].*", place):  # anonymous: only data of the image
            continue
        path = root / source
        if claim := names.get(_name(source)):
            if built is None or posixpath.basename(place.rstrip("/")) not in BUILT:
                volumes.claims[place] = claim
        elif built is not None and is_dir(path) and is_inside(built, path):
            volumes.sync[os.path.relpath(path, built)] = place.rstrip("/")
        elif mount := _files(path, root, place):
            volumes.mounts.append(mount)
        elif built is None and is_dir(path) and is_inside(root, path):
            volumes.copied[os.path.relpath(path, root)] = place.rstrip("/")
        else:
            left_out.append(f"volumes.{source.removeprefix('./') or place}")
    others = [entry for entry in untyped.mappings(service, "volumes") if entry.get("type", "volume") not in KINDS]
    left_out += [f"volumes.{entry.get('target')}" for entry in others]
    return volumes


def _volumes(service: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield source and place of `[SOURCE:]PLACE[:MODE]` and of the long form; an anonymous volume has no source."""
    for entry in listed(service.get("volumes")):
        if isinstance(entry, Mapping):
            if entry.get("type", "volume") in KINDS:
                yield str(entry.get("source") or ""), str(entry.get("target") or "")
        else:
            first, colon, rest = str(entry).partition(":")
            yield (first, rest.partition(":")[0]) if colon else ("", first)


def _holds_data(source: str, root: Path, place: str) -> bool:
    path = root / source
    if source.startswith("~") or _OF_THE_SYSTEM.fullmatch(source):
        return False
    try:
        if not os.path.lexists(path):
            return "." not in posixpath.basename(place.rstrip("/"))
        return path.is_dir() and is_inside(root, path) and {file.name for file in path.iterdir()} <= KEEPING
    except (OSError, ValueError):  # this user may not read it, or no file has such a name
        return False


def _name(source: str) -> str:
    return posixpath.join(".", posixpath.normpath(source)) if _is_path(source) else source


def _is_path(source: str) -> bool:
    return source.startswith((".", "/", "~"))


def _files(path: Path, root: Path, place: str) -> Mount | None:
    below = (file for file in path.rglob("*") if not file.is_dir()) if is_dir(path) else iter(())
    files = [path] if is_file(path) else sorted(islice(below, MAX_FILES + 1))
    if not files or len(files) > MAX_FILES or not all(file.is_file() and is_inside(root, file) for file in files):
        return None
    top = path.parent if path.is_file() else path
    try:
        texts = {file.relative_to(top).as_posix(): text_file.read(file, most=MAX_BYTES) for file in files}
    except UsageError:
        return None
    if sum(map(len, texts.values())) > MAX_BYTES or any("\0" in text for text in texts.values()):
        return None
    return Mount(place, texts, single=path.is_file()) if all(map(is_text, texts)) else None


def secrets(
    service: Mapping[str, Any],
    defined: Mapping[str, Mapping[str, Any]],
    root: Path,
    values: Mapping[str, str],
    left_out: list[str],
) -> Iterator[Mount]:
    for section, folder in PLACES.items():
        names = labels(defined[section])
        for entry in listed(service.get(section)):
            settings = entry if isinstance(entry, Mapping) else {"source": entry}
            name = str(settings.get("source"))
            text = _text(defined[section].get(name), root, values)
            if text is None:
                left_out.append(f"{section}.{name}")
                continue
            left_out += [f"{section}.{name}.{key}" for key in ("uid", "gid", "mode") if key in settings]
            place = posixpath.join(folder, str(settings.get("target") or name))
            yield Mount(place, {names[name]: text}, single=True, name=names[name], secret=section == "secrets")


def _text(definition: Any, root: Path, values: Mapping[str, str]) -> str | None:
    match definition:
        case {"content": content}:
            return str(content)
        case {"environment": variable}:
            return values.get(str(variable))
        case {"file": file} if has(root, str(file)):
            try:
                return text_file.read(root / str(file), most=MAX_BYTES)
            except UsageError:
                return None
    return None
