"""The dependencies of a local chart: those that its folder `charts` lacks.

What its lock file pins is a chart of a registry or a repository itself, pulled and locked like one, and put where `helm
dependency build` puts it. What is on this machine is read from its own folder each time, so that its changes count.
"""

from __future__ import annotations

import glob
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from sandbox.config import text_file, untyped, yaml_text
from sandbox.config.schema.apply_schema import OCI, AnyChart, Chart, RemoteChart
from sandbox.errors import BadFile
from sandbox.system import files

# Where charts of apiVersion v2 and v1 say and pin what they need.
NEEDED = ("Chart.yaml", "requirements.yaml")
PINNED = ("Chart.lock", "requirements.lock")
MISSING = "missing in charts/ directory"  # helm, of dependencies that a chart's folder lacks
DIGESTS = "charts.lock.yaml"
LOCAL = "file://"
DEEPEST = 8  # charts that others need; some may need themselves
REMOTE = (OCI, "https://", "http://")  # others are folders, or names that only helm's own settings resolve


def dependencies(chart: AnyChart) -> tuple[RemoteChart, ...]:
    """Return the dependencies to pull; none for a chart that is packed or comes from elsewhere. Raises BadFile."""
    if not isinstance(chart, Chart):
        return ()
    inside = chart.chart / "charts"
    return tuple(
        _pinned(one, path)
        for path in (chart.chart / name for name in PINNED)
        for one in _entries(path)
        if str(one.get("repository", "")).startswith(REMOTE)
        and not (inside / str(one.get("name"))).is_dir()
        and not (inside / f"{one.get('name')}-{one.get('version')}.tgz").is_file()
    )


def remote(charts: Iterable[AnyChart]) -> tuple[RemoteChart, ...]:
    """Return all charts to pull: those from elsewhere, and the dependencies of local ones."""
    return tuple(dict.fromkeys(each for one in charts for each in _of(one)))


def place(chart: Chart, archives: Iterable[tuple[RemoteChart, Path]]) -> None:
    """Copy the archives to where helm looks for them; what is there in their place is not followed, but replaced.

    Raises SandboxError.
    """
    folder = chart.chart / "charts"
    for one, archive in archives:
        kept = folder / f"{one.title}-{one.version}.tgz"
        try:
            folder.mkdir(exist_ok=True)
            with files.replacing(kept) as into, archive.open("rb") as content:
                shutil.copyfileobj(content, into)
        except OSError as error:
            raise files.refused(f"{kept} cannot be written", error) from error


def _of(chart: AnyChart) -> tuple[RemoteChart, ...]:
    return (chart,) if isinstance(chart, RemoteChart) else dependencies(chart)


def needed(chart: Path) -> Iterator[dict[str, Any]]:
    """Yield the dependencies that a chart's folder says it has. Raises BadFile."""
    return (one for name in NEEDED for one in _entries(chart / name))


def local(chart: Path) -> Iterator[Path]:
    """Yield the folders of dependencies that are on this machine. Raises BadFile."""
    return (folder.resolve() for _, folder in _local(chart))


def _local(chart: Path) -> Iterator[tuple[str, Path]]:
    said = ((str(one.get("name")), str(one.get("repository"))) for one in needed(chart))
    here = ((name, chart / place.removeprefix(LOCAL)) for name, place in said if place.startswith(LOCAL))
    return ((name, Path(os.path.normpath(place))) for name, place in here)


def unpacked(chart: Path) -> dict[str, Path]:
    """Return the charts of this machine that a chart needs and its folder lacks, by name. Raises BadFile."""
    inside = chart / "charts"
    return {
        name: folder
        for name, folder in _local(chart)
        if name == Path(name).name and (folder / NEEDED[0]).is_file()
        if not (inside / name).is_dir() and not any(inside.glob(f"{glob.escape(name)}-[0-9]*.tgz"))
    }


def parts(chart: Path, depth: int = DEEPEST) -> Iterator[tuple[Path, Path]]:
    """Yield the folder that is a chart, and those of charts of this machine that it consists of and lacks.

    Each comes with its place in the whole chart. Raises BadFile.
    """
    yield Path(), chart
    for name, folder in unpacked(chart).items() if depth else ():
        yield from ((Path("charts", name, place), one) for place, one in parts(folder, depth - 1))


@contextmanager
def whole(chart: Path) -> Iterator[Path]:
    """Yield the chart, or a copy of it that has all of its `parts` where helm looks for them. Raises BadFile."""
    found = list(parts(chart))
    if len(found) == 1:
        yield chart
        return
    with tempfile.TemporaryDirectory() as place:
        copy = Path(place, chart.name)
        try:
            for inside, folder in found:
                shutil.copytree(folder, copy / inside, ignore=shutil.ignore_patterns(".git"), dirs_exist_ok=True)
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
        raise BadFile(f"{path} is not valid YAML", details=yaml_text.reason(error)) from error
    yield from untyped.mappings(content, "dependencies")


def _pinned(entry: dict[str, Any], path: Path) -> RemoteChart:
    name, repository = entry.get("name"), str(entry.get("repository", "")).rstrip("/")
    source = {"chart": f"{repository}/{name}"} if repository.startswith(OCI) else {"chart": name, "repo": repository}
    try:
        return RemoteChart.model_validate({**source, "version": entry.get("version"), "lock": path.with_name(DIGESTS)})
    except ValidationError as error:
        said = "; ".join(one["msg"].removeprefix("Value error, ") for one in error.errors(include_input=False))
        raise BadFile(f"{path}: the dependency {name} cannot be pulled", details=said) from None
