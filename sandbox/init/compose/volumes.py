"""Classifies the volumes of a compose service: data that is kept, files that its program reads, source code."""

from __future__ import annotations

import os
import posixpath
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from sandbox.config import text_file, untyped
from sandbox.errors import UsageError
from sandbox.init.detected import Mount, labels
from sandbox.init.project_folders import is_text, listed
from sandbox.system.files import is_dir, is_file, is_inside

# Fits into a ConfigMap, which can hold 1 MiB.
MOST_FILES, MOST_BYTES = 50, 512 << 10
OTHERS = {"image", "cluster", "npipe"}  # types of volumes that no claim, ConfigMap or place in memory is
# Folders that a build fills, and that engines copy into a new volume; a claim would hide them.
BUILT = {"node_modules", "vendor", ".venv", "venv", ".next"}
# Files that only keep an empty folder in git.
KEEPING = {".gitignore", ".gitkeep", ".keep"}
_CURRENT = re.compile(r"^\$(PWD|\{PWD\})(?=/|$)")
_OF_THE_SYSTEM = re.compile(r"/(dev|etc|lib|proc|run|sys|tmp|usr|var/(lib/docker|log|run))(/.*)?")


@dataclass
class Volumes:
    """The volumes: `claims` by their places, `mounts` of the project's files, `sync` of the build's context.

    What is `elsewhere` in the project's folder is for its image, too.

    Of claims, `subpaths` has folders in them by their places if not all is mounted, and `read_only` the places that the
    program may not change; `left_out` names the other volumes.
    """

    claims: dict[str, str] = field(default_factory=dict)
    subpaths: dict[str, str] = field(default_factory=dict)
    mounts: list[Mount] = field(default_factory=list)
    sync: dict[str, str] = field(default_factory=dict)
    elsewhere: dict[str, str] = field(default_factory=dict)
    read_only: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)


def claims(services: Iterable[Mapping[str, Any]], folder: Path) -> dict[str, str]:
    """Return the names of the claims for the services' volumes, by the volumes' own names and paths.

    The paths are those of folders for data, which compose makes at the first start.
    """
    found = ((source, place) for one in services for source, place in pairs(one.get("volumes")))
    return labels(
        _name(source)
        for source, place in found
        if source and "$" not in source and (not _is_path(source) or _holds_data(source, folder, place))
    )


def bound(service: Mapping[str, Any], defined: Mapping[str, Mapping[str, Any]], folder: Path) -> Mapping[str, Any]:
    """Return the service with folders of the project in place of the volumes that compose binds to them.

    `defined` are the volumes of the compose file in `folder`, by name.
    """
    devices = {name: device for name, one in defined.items() if (device := _device(one, folder))}
    given = service.get("volumes")
    if not devices or not isinstance(given, list):
        return service
    replaced: list[Any] = []
    for one in given:
        if isinstance(one, Mapping):
            device = devices.get(str(one.get("source")))
            replaced.append({**one, "type": "bind", "source": device} if device else one)
        else:
            source, colon, rest = str(one).partition(":")
            replaced.append(f"{devices.get(source, source)}{colon}{rest}")
    return {**service, "volumes": replaced}


def _device(defined: Mapping[str, Any], folder: Path) -> str | None:
    """Return the path of the folder of the project that a volume is bound to, if there is something in it."""
    source = _bound_to(defined)
    if source is None or not is_inside(folder, folder / source) or _holds_data(source, folder, ""):
        return None
    return f"./{os.path.relpath(folder / source, folder)}" if is_dir(folder / source) else None


def _bound_to(defined: Mapping[str, Any]) -> str | None:
    """Return the path that the driver of a volume binds it to, if it does so."""
    given = untyped.mapping(defined, "driver_opts")
    is_bind = "bind" in str(given.get("o")).split(",") and given.get("device")
    return _here(given["device"]) if is_bind else None


def emptied(
    services: Iterable[Mapping[str, Any]], defined: Mapping[str, Mapping[str, Any]], folder: Path
) -> Iterator[str]:
    """Yield a note for each volume that holds something outside of the project, which its claim will not."""
    used = dict.fromkeys(source for one in services for source, _ in pairs(one.get("volumes")))
    for name in used:
        one = defined.get(name, {})
        place, driver = _bound_to(one), one.get("driver") not in (None, "local")
        if one.get("external"):
            yield f"the volume {name} begins empty, since it is external"
        elif driver or (one.get("driver_opts") and (place is None or not _holds_data(place, folder, ""))):
            yield f"the volume {name} begins empty: its {'driver' if driver else 'driver_opts'} has no counterpart"


def sort(
    given: Any,
    folder: Path,
    context: str | None,
    named: Mapping[str, str],
    copied: Callable[[str], bool] = lambda _: False,
) -> Volumes:
    """Classify the volumes of a service of the compose file in `folder`, whose image is built from `context` there.

    `named` are the names of claims by those of volumes, and `copied` tells of what place an image may have the content.
    """
    found = Volumes()
    for one in given if isinstance(given, list) else ():
        if isinstance(one, Mapping) and str(one.get("type")) in OTHERS:
            found.left_out.append(f"volumes.{one.get('target')}")
    read_only, subpaths = set(_read_only(given)), dict(_subpaths(given))
    for source, place in pairs(given):
        if not source or not re.fullmatch(r"/.*[^/].*", place):  # anonymous: only data of the image
            continue
        # A folder that only a variable of the shell names, such as ${HOME}/.aws, or a path that Kubernetes refuses.
        if "$" in source or ":" in place or subpaths.get(place, "").startswith(("/", "..")):
            found.left_out.append(_shown(source, place))
            continue
        path = folder / source
        built = folder / context if context is not None else None
        if claim := named.get(_name(source)):
            if built is None or place.rstrip("/").rpartition("/")[2] not in BUILT:
                found.claims[place] = claim
                found.read_only += [place] if place in read_only else []
                found.subpaths |= {place: subpaths[place]} if place in subpaths else {}
        elif built is not None and is_dir(path) and is_inside(built, path):
            found.sync[os.path.relpath(path, built)] = place.rstrip("/")
        elif mount := _files(path, folder, place):
            found.mounts.append(mount)
        elif copied(place) and _is_readable(path, folder):
            found.elsewhere[os.path.relpath(path, folder)] = place.rstrip("/")
        else:
            found.left_out.append(_shown(source, place))
    return found


def _shown(source: str, place: str) -> str:
    """Return what a volume is called in a note: by its place where it is the whole project."""
    name = source.removeprefix("./")
    return f"volumes.{name if name.strip('.') else place}"


def _is_readable(path: Path, folder: Path) -> bool:
    """Tell whether it is a file or folder of the project that this user, and so a build, may read."""
    inside = (is_dir(path) or is_file(path)) and is_inside(folder, path)
    return inside and all(os.access(one, os.R_OK) for one in (path, *listed(path)))


def _holds_data(source: str, folder: Path, place: str) -> bool:
    """Tell whether a folder is only for what a program writes: there is none yet, or it is empty.

    What is no folder of the project, nor of this machine's users, is not; and what is absent may be meant as a file.
    """
    path = folder / source
    if source.startswith("~") or _OF_THE_SYSTEM.fullmatch(source):
        return False
    try:
        if not os.path.lexists(path):
            return "." not in place.rstrip("/").rpartition("/")[2]
        return path.is_dir() and is_inside(folder, path) and {one.name for one in path.iterdir()} <= KEEPING
    except (OSError, ValueError):  # this user may not read it, or no file has such a name
        return False


def pairs(given: Any) -> Iterator[tuple[str, str]]:
    """Yield source and target of `[SOURCE:]TARGET[:MODE]` and of the long form; others as having no place."""
    for one in given if isinstance(given, list) else ():
        if isinstance(one, Mapping):
            kind = one.get("type", "volume")
            yield _here(one.get("source") or "") if kind in ("bind", "volume") else "", str(one.get("target") or "")
        else:
            first, colon, rest = str(one).partition(":")
            yield (_here(first), rest.partition(":")[0]) if colon else ("", first)


def _here(source: Any) -> str:
    """Return a source whose path begins with the variable that shells have for the current folder as one from there."""
    return _CURRENT.sub(".", str(source))


def _subpaths(given: Any) -> Iterator[tuple[str, str]]:
    """Yield the places where a program gets a folder of a volume, with that folder."""
    for one in given if isinstance(given, list) else ():
        if subpath := untyped.at(one, "volume", "subpath"):
            yield str(one.get("target") or ""), posixpath.normpath(str(subpath))


def _read_only(given: Any) -> Iterator[str]:
    """Yield the places where a program may only read."""
    for one in given if isinstance(given, list) else ():
        if isinstance(one, Mapping):
            yield from (str(one.get("target")),) if one.get("read_only") is True else ()
        else:
            _, place, mode = (*str(one).split(":", 2), "", "")[:3]
            yield from (place,) if "ro" in mode.split(",") else ()


def _name(source: str) -> str:
    """Return a volume's name, or what all ways to write a path have in common."""
    return posixpath.join(".", posixpath.normpath(source)) if _is_path(source) else source


def _is_path(source: str) -> bool:
    return source.startswith((".", "/", "~"))


def _files(path: Path, folder: Path, place: str) -> Mount | None:
    """Return the text files at and below the path, if a ConfigMap can hold them; else None."""
    below = (one for one in path.rglob("*") if not one.is_dir()) if is_dir(path) else iter(())
    listed = [path] if is_file(path) else sorted(islice(below, MOST_FILES + 1))
    if not listed or len(listed) > MOST_FILES or not all(one.is_file() and is_inside(folder, one) for one in listed):
        return None
    top = path.parent if path.is_file() else path
    try:
        files = {one.relative_to(top).as_posix(): text_file.read(one, most=MOST_BYTES) for one in listed}
    except UsageError:
        return None
    if sum(map(len, files.values())) > MOST_BYTES or any("\0" in text for text in files.values()):
        return None
    return Mount(place, files, single=path.is_file()) if all(map(is_text, files)) else None
