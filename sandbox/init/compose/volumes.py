"""Classifies the volumes of a compose service: data that is kept, files that its program reads, source code."""

from __future__ import annotations

import os
import posixpath
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import field
from itertools import islice
from pathlib import Path
from typing import Any

from sandbox.config import text_file
from sandbox.errors import UsageError
from sandbox.fast_dataclass import dataclass
from sandbox.init.detected import Mount, labels
from sandbox.init.project_folders import is_text
from sandbox.system.files import is_dir, is_file, is_inside

# Fits into a ConfigMap, which can hold 1 MiB.
MOST_FILES, MOST_BYTES = 50, 512 << 10
OTHERS = {"image", "cluster", "npipe"}  # types of volumes that no claim, ConfigMap or place in memory is
# Folders that a build fills, and that engines copy into a new volume; a claim would hide them.
BUILT = {"node_modules", "vendor", ".venv", "venv", ".next"}
# Files that only keep an empty folder in git.
KEEPING = {".gitignore", ".gitkeep", ".keep"}
_OF_THE_SYSTEM = re.compile(r"/(dev|etc|lib|proc|run|sys|tmp|usr|var/(lib/docker|log|run))(/.*)?")


@dataclass
class Volumes:
    """The volumes: `claims` by their places, `mounts` of the project's files, `sync` of the build's context.

    `read_only` has the places of claims that the program may not change, `left_out` names the others.
    """

    claims: dict[str, str] = field(default_factory=dict)
    mounts: list[Mount] = field(default_factory=list)
    sync: dict[str, str] = field(default_factory=dict)
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


def sort(given: Any, folder: Path, context: str | None, named: Mapping[str, str]) -> Volumes:
    """Classify the volumes of a service of the compose file in `folder`, whose image is built from `context` there.

    `named` are the names of claims by those of volumes.
    """
    found = Volumes()
    for one in given if isinstance(given, list) else ():
        if isinstance(one, Mapping) and str(one.get("type")) in OTHERS:
            found.left_out.append(f"volumes.{one.get('target')}")
    read_only = set(_read_only(given))
    for source, place in pairs(given):
        if not source or not re.fullmatch(r"/.*[^/].*", place):  # anonymous: only data of the image
            continue
        # A folder that only a variable of the shell names, such as ${HOME}/.aws, or a path that Kubernetes refuses.
        if "$" in source or ":" in place:
            found.left_out.append(f"volumes.{source.removeprefix('./')}")
            continue
        path = folder / source
        built = folder / context if context is not None else None
        if claim := named.get(_name(source)):
            if built is None or place.rstrip("/").rpartition("/")[2] not in BUILT:
                found.claims[place] = claim
                found.read_only += [place] if place in read_only else []
        elif built is not None and is_dir(path) and is_inside(built, path):
            found.sync[os.path.relpath(path, built)] = place
        elif mount := _files(path, folder, place):
            found.mounts.append(mount)
        else:
            found.left_out.append(f"volumes.{source.removeprefix('./')}")
    return found


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
            yield str(one.get("source") or "") if kind in ("bind", "volume") else "", str(one.get("target") or "")
        else:
            first, colon, rest = str(one).partition(":")
            yield (first, rest.partition(":")[0]) if colon else ("", first)


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
