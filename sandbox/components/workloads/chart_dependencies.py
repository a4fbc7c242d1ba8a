"""The dependencies of a chart's folder.

Helm pulls those of registries and repositories. Charts of the same project (`repository: file://../web`) are read from
their own folders each time, so that their changes count without `helm dependency build`.
"""

from __future__ import annotations

import glob
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from sandbox.config import text_file, untyped, yaml_text
from sandbox.config.schema.apply_schema import OCI
from sandbox.errors import BadFile

# Where charts of apiVersion v2 and v1 name and pin their dependencies.
NEEDED = ("Chart.yaml", "requirements.yaml")
PINNED = ("Chart.lock", "requirements.lock")
MISSING = "missing in charts/ directory"  # helm's words for dependencies that a chart's folder lacks
LOCAL = "file://"
DEEPEST = 8  # levels of charts that need others, which may need themselves
HTTP = ("https://", "http://")


def locked(chart: Path) -> list[dict[str, Any]]:
    """Return the entries of Chart.lock that helm has to download: no local charts. Raises BadFile."""
    entries = (entry for name in PINNED for entry in _entries(chart / name))
    return [entry for entry in entries if str(entry.get("repository", "")).startswith((OCI, *HTTP))]


def lacking(chart: Path) -> list[str]:
    """Return the names of locked dependencies that the folder `charts` lacks. Raises BadFile."""
    inside = chart / "charts"
    return [
        str(entry.get("name"))
        for entry in locked(chart)
        if not (inside / str(entry.get("name"))).is_dir()
        and not (inside / f"{entry.get('name')}-{entry.get('version')}.tgz").is_file()
    ]


def needed(chart: Path) -> Iterator[dict[str, Any]]:
    """Yield the dependencies that a chart's folder names. Raises BadFile."""
    return (entry for name in NEEDED for entry in _entries(chart / name))


def local(chart: Path) -> dict[str, Path]:
    """Return the folders of dependencies that are charts of the same project, by name. Raises BadFile."""
    entries = ((str(entry.get("name")), str(entry.get("repository"))) for entry in needed(chart))
    return {
        name: Path(os.path.normpath(chart / repository.removeprefix(LOCAL)))
        for name, repository in entries
        if repository.startswith(LOCAL)
    }


def unpacked(chart: Path) -> dict[str, Path]:
    """Return the local dependencies that the folder `charts` lacks, by name. Raises BadFile."""
    inside = chart / "charts"
    return {
        name: folder
        for name, folder in local(chart).items()
        if name == Path(name).name and (folder / NEEDED[0]).is_file()
        if not (inside / name).is_dir() and not any(archives(chart, name))
    }


def archives(chart: Path, name: str) -> Iterator[Path]:
    return (chart / "charts").glob(f"{glob.escape(name)}-[0-9]*.tgz")


def parts(chart: Path, depth: int = DEEPEST) -> Iterator[tuple[Path, Path]]:
    """Yield the chart's folder and those of the local charts that it consists of and lacks.

    Each comes after its place in the whole chart. Raises BadFile.
    """
    yield Path(), chart
    for name, folder in unpacked(chart).items() if depth else ():
        yield from ((Path("charts", name, place), part) for place, part in parts(folder, depth - 1))


@contextmanager
def whole(chart: Path) -> Iterator[Path]:
    """Yield the chart, or a copy of it that has all of its `parts` where helm looks for them. Raises BadFile."""
    folders = list(parts(chart))
    if len(folders) == 1:
        yield chart
        return
    with tempfile.TemporaryDirectory() as parent:
        copy = Path(parent, chart.name)
        try:
            for place, folder in folders:
                shutil.copytree(folder, copy / place, ignore=shutil.ignore_patterns(".git"), dirs_exist_ok=True)
        except (OSError, shutil.Error) as error:
            raise BadFile(
                f"the chart {chart} cannot be copied, with those that it needs", details=str(error)
            ) from error
        yield copy


def _entries(path: Path) -> Iterator[dict[str, Any]]:
    if not path.is_file():
        return
    try:
        content = yaml_text.document(text_file.read(path))
    except yaml.YAMLError as error:
        raise BadFile(f"{path} is not valid YAML", details=str(error)) from error
    yield from untyped.mappings(content, "dependencies")
