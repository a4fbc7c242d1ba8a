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

DEEPEST = 8  # levels of charts that need others, which may need themselves


def pulled(chart: Path) -> list[dict[str, Any]]:
    """Return the locked dependencies that helm has to download."""
    entries = _entries(chart, "Chart.lock", "requirements.lock")
    return [entry for entry in entries if str(entry.get("repository", "")).startswith((OCI, "https://", "http://"))]


def is_complete(chart: Path) -> bool:
    inside = chart / "charts"
    return all(
        (inside / str(entry.get("name"))).is_dir()
        or (inside / f"{entry.get('name')}-{entry.get('version')}.tgz").is_file()
        for entry in pulled(chart)
    )


def local(chart: Path) -> dict[str, Path]:
    """Return the folders of dependencies that are charts of the same project, by name. Raises BadFile."""
    entries = _entries(chart, "Chart.yaml", "requirements.yaml")
    places = {str(entry.get("name")): str(entry.get("repository")) for entry in entries}
    return {
        name: Path(os.path.normpath(chart / place.removeprefix("file://")))
        for name, place in places.items()
        if place.startswith("file://")
    }


def archives(chart: Path) -> dict[Path, str]:
    """Return the archives of local charts in the folder `charts`, with the charts' names. Raises BadFile."""
    inside = chart / "charts"
    return {path: name for name in local(chart) for path in inside.glob(f"{glob.escape(name)}-[0-9]*.tgz")}


def unpacked(chart: Path) -> dict[str, Path]:
    """Return the local dependencies that the folder `charts` lacks, by name. Raises BadFile."""
    packed = archives(chart).values()
    return {
        name: folder
        for name, folder in local(chart).items()
        if name == Path(name).name and (folder / "Chart.yaml").is_file()
        if name not in packed and not (chart / "charts" / name).is_dir()
    }


def parts(chart: Path, depth: int = DEEPEST) -> Iterator[tuple[Path, Path]]:
    """Yield each folder of local charts that the chart consists of, with its place in the whole chart."""
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
            brief = f"the chart {chart} cannot be copied, with those that it needs"
            raise BadFile(brief, details=str(error)) from error
        yield copy


def _entries(chart: Path, *files: str) -> Iterator[dict[str, Any]]:
    for path in (chart / file for file in files):
        if path.is_file():
            try:
                content = yaml_text.document(text_file.read(path))
            except yaml.YAMLError as error:
                raise BadFile(f"{path} is not valid YAML", details=str(error)) from error
            yield from untyped.mappings(content, "dependencies")
