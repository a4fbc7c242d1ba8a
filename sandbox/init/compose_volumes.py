"""Classifies the volumes of a compose service: data that is kept, files that its program reads, source code."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import field
from pathlib import Path
from typing import Any

from sandbox.config import text_file
from sandbox.errors import UsageError
from sandbox.fast_dataclass import dataclass
from sandbox.init.detected import Mount, is_inside, labels
from sandbox.system.files import is_dir, is_file

# Fits into a ConfigMap, which can hold 1 MiB.
MOST_FILES, MOST_BYTES = 50, 512 << 10
OTHERS = {"image", "cluster", "npipe"}  # types of volumes that no claim, ConfigMap or place in memory is


@dataclass
class Volumes:
    """The volumes: `claims` by their places, `mounts` of the project's files, `sync` of the build's context.

    `left_out` tells that there are others.
    """

    claims: dict[str, str] = field(default_factory=dict)
    mounts: list[Mount] = field(default_factory=list)
    sync: dict[str, str] = field(default_factory=dict)
    left_out: bool = False


def claims(services: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """Return the names of the claims for the services' volumes, by the volumes' own names."""
    found = (source for one in services for source, _ in pairs(one.get("volumes")))
    return labels(source for source in found if source and "$" not in source and not _is_path(source))


def sort(given: Any, folder: Path, context: str | None, named: Mapping[str, str]) -> Volumes:
    """Classify the volumes of a service of the compose file in `folder`, whose image is built from `context` there.

    `named` are the names of claims by those of volumes.
    """
    listed = given if isinstance(given, list) else ()
    found = Volumes(left_out=any(isinstance(one, Mapping) and str(one.get("type")) in OTHERS for one in listed))
    for source, place in pairs(given):
        if not source or not re.fullmatch(r"/.*[^/].*", place):  # anonymous: only data of the image
            continue
        # A folder that only a variable of the shell names, such as ${HOME}/.aws, or a path that Kubernetes refuses.
        if "$" in source or ":" in place:
            found.left_out = True
            continue
        if not _is_path(source):
            found.claims[place] = named[source]
            continue
        path = folder / source
        built = folder / context if context is not None else None
        if built is not None and is_dir(path) and _is_below(path, built):
            found.sync[os.path.relpath(path, built)] = place
        elif mount := _files(path, folder, place):
            found.mounts.append(mount)
        else:
            found.left_out = True
    return found


def pairs(given: Any) -> Iterator[tuple[str, str]]:
    """Yield source and target of `[SOURCE:]TARGET[:MODE]` and of the long form; others as having no place."""
    for one in given if isinstance(given, list) else ():
        if isinstance(one, Mapping):
            kind = one.get("type", "volume")
            yield str(one.get("source") or "") if kind in ("bind", "volume") else "", str(one.get("target") or "")
        else:
            first, colon, rest = str(one).partition(":")
            yield (first, rest.partition(":")[0]) if colon else ("", first)


def _is_path(source: str) -> bool:
    return source.startswith((".", "/", "~"))


def _is_below(path: Path, folder: Path) -> bool:
    return Path(os.path.realpath(path)).is_relative_to(os.path.realpath(folder))


def _files(path: Path, folder: Path, place: str) -> Mount | None:
    """Return the text files at the path, if a ConfigMap can hold them; else None."""
    listed = [path] if is_file(path) else sorted(path.iterdir()) if is_dir(path) else []
    if not listed or len(listed) > MOST_FILES or not all(one.is_file() and is_inside(folder, one) for one in listed):
        return None
    try:
        files = {one.name: text_file.read(one, most=MOST_BYTES) for one in listed}
    except UsageError:
        return None
    if sum(map(len, files.values())) > MOST_BYTES or any("\0" in text for text in files.values()):
        return None
    return Mount(place, files, single=path.is_file())
