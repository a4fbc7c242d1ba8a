"""Walks through a project's folder, past tools' folders and what this user may not read, and reads files there."""

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from sandbox.config import text_file, yaml_text
from sandbox.errors import BadFile
from sandbox.init.detected import SPEC
from sandbox.system.files import from_here, is_file, is_inside

# Folders of tools, whose YAML and Dockerfiles are not the project's.
FOREIGN = {"build", "dist", "node_modules", "target", "tilt_modules", "vendor", "venv", "__pycache__"}
DEPTH, DEEPER = 2, 4  # overlays are nested deeply


def folders(folder: Path, depth: int = DEPTH) -> Iterator[Path]:
    """Yield the folders below, each before its own subfolders; not those of other sandboxes."""
    for place in _project_folders(folder):
        if not exists(place / SPEC):
            yield place
            if depth > 1:
                yield from folders(place, depth - 1)


def other_sandboxes(folder: Path) -> Iterator[Path]:
    for above in (folder, *folders(folder, DEEPER - 1)):
        yield from (place for place in _project_folders(above) if exists(place / SPEC))


def _project_folders(folder: Path) -> Iterator[Path]:
    for place in listed(folder):
        if place.name not in FOREIGN and place.name[0] != "." and is_text(place.name):
            with suppress(OSError):
                if not place.is_symlink() and place.is_dir() and os.access(place, os.R_OK | os.X_OK):
                    yield place


def listed(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []


def is_text(name: str) -> bool:
    """Return whether the name can be written into a file: bytes that are not UTF-8 cannot."""
    return not any("\ud800" <= letter <= "\udfff" for letter in name)


def exists(path: Path) -> bool:
    """Return whether the path exists; False if this user may not read it, or its name is too long."""
    try:
        return path.exists()
    except OSError:
        return False


def has(folder: Path, file: Path | str) -> bool:
    """Return whether the folder has the file, and not by a link that leads out of it."""
    return is_file(folder / file) and is_inside(folder, folder / file)


def shown(folder: Path, place: Path) -> str:
    return place.relative_to(folder).as_posix() + "/"


def document(file: Path) -> Any:
    """Return the only document of a YAML file, None when it is empty. Raises BadFile."""
    try:
        return yaml_text.document(text_file.read(file))
    except yaml_text.Refused as error:
        fault = error.faults[0]
        raise BadFile(f"{from_here(file)}:{fault.line}: {fault.message}", fix=fault.fix or "correct it") from error
