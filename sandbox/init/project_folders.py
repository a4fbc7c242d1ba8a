"""Walks through a project's folder, past tools' folders and whatever this user may not read, and reads files there."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import yaml

from sandbox.config import text_file, yaml_text
from sandbox.init.detected import SPEC
from sandbox.system.files import is_file, is_inside

# Folders of tools, whose YAML and Dockerfiles are not the project's.
FOREIGN = {"build", "dist", "node_modules", "target", "tilt_modules", "vendor", "venv", "__pycache__"}
DEPTH, DEEPER = 2, 4  # overlays are nested deeply


def folders(folder: Path, depth: int = DEPTH) -> Iterator[Path]:
    """Yield the folders below, each before its own subfolders; not those of other sandboxes."""
    for place in _own(folder):
        if not exists(place / SPEC):
            yield place
            if depth > 1:
                yield from folders(place, depth - 1)


def other_sandboxes(folder: Path) -> Iterator[Path]:
    """Yield the folders below that have a spec of their own, as those of a repository with several sandboxes."""
    return (one for place in (folder, *folders(folder, DEEPER - 1)) for one in _own(place) if exists(one / SPEC))


def _own(folder: Path) -> Iterator[Path]:
    """Yield the folders directly below that are the project's and that this user may read."""
    for place in listed(folder):
        foreign = place.name in FOREIGN or place.name[0] == "." or not is_text(place.name)
        if not foreign and _is_open(place):
            yield place


def listed(folder: Path) -> list[Path]:
    """Return the folder's content; nothing where this user may not read: a database's folder may be in a project."""
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []


def _is_open(place: Path) -> bool:
    try:
        return not place.is_symlink() and place.is_dir() and os.access(place, os.R_OK | os.X_OK)
    except OSError:
        return False


def is_text(name: str) -> bool:
    """Tell whether the name can be written into a file: bytes that are not UTF-8 cannot."""
    return name.isprintable() or not any("\ud800" <= one <= "\udfff" for one in name)


def exists(path: Path) -> bool:
    """Tell whether there is such a file, as far as this user may read; none has too long a name."""
    try:
        return path.exists()
    except OSError:
        return False


def has(folder: Path, file: Path | str) -> bool:
    """Tell whether the folder has the file, and not by a link to one that is elsewhere."""
    return is_file(folder / file) and is_inside(folder, folder / file)


def shown(folder: Path, place: Path) -> str:
    """Return a folder's path from the project's folder, with a slash."""
    return place.relative_to(folder).as_posix() + "/"


def mapping_in(file: Path) -> Mapping[str, Any]:
    """Return the content of a YAML file that should be a mapping, empty for any other. Raises UsageError."""
    with suppress(yaml.YAMLError):
        content = yaml_text.document(text_file.read(file))
        return content if isinstance(content, dict) else {}
    return {}
