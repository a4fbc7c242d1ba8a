"""Reads a helmfile.yaml without templates: the releases, their charts and values."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import yaml

from sandbox.config import text_file, untyped, yaml_text
from sandbox.errors import UsageError
from sandbox.init import releases
from sandbox.init.detected import Item
from sandbox.init.project_folders import has

FILES = ("helmfile.yaml", "helmfile.yml", "helmfile.yaml.gotmpl")
# Keys of a release that change what runs, and have no counterpart.
LEFT_OUT = (
    *("condition", "dependencies", "hooks", "inherit", "jsonPatches", "secrets", "setString", "strategicMergePatches"),
    *("transformers",),
)


def load(folder: Path) -> tuple[list[Item], list[str]]:
    """Return the releases of the folder's helmfile, and what was left out, in words."""
    file = next((folder / name for name in FILES if has(folder, name)), None)
    if file is None:
        return [], []
    try:
        text = text_file.read(file)
        documents = yaml_text.documents(text)
    except (yaml.YAMLError, UsageError):
        return [], [f"{file.name} is left out: it cannot be read without helmfile"]
    if "{{" in text:
        return [], [f"{file.name} is left out: its templates need helmfile"]

    def every(key: str) -> list[dict[str, Any]]:
        return [one for each in documents for one in untyped.mappings(each, key)]

    repositories = {str(one.get("name")): one for one in every("repositories")}
    items: list[Item] = []
    lost = [key for key in ("helmfiles", "environments", "bases") if any(untyped.at(each, key) for each in documents)]
    notes = [f"{file.name}: its {key} are left out" for key in lost]
    for release in every("releases"):
        name = str(release.get("name", ""))
        if release.get("installed") is False:
            continue
        chart = releases.chart(folder, str(release.get("chart", "")), release.get("version"), repositories)
        if chart is None:
            notes.append(
                f"the release {name} is left out: its chart {release.get('chart')} has no folder or one version"
            )
            continue
        if idle := [key for key in LEFT_OUT if release.get(key)]:
            notes.append(f"of the release {name} these are left out: {', '.join(idle)}")
        files, single = _values(folder, release, name, notes)
        space = release.get("namespace")
        items.append(releases.entry(chart, name, namespace=space, values=files, single=single, notes=notes))
    return items, notes


def _values(folder: Path, release: Mapping[str, Any], name: str, notes: list[str]) -> tuple[list[str], dict[str, Any]]:
    """Return the files of values and the single values."""
    files: list[str] = []
    single: dict[str, Any] = {}
    listed = release.get("values") or []
    for one in listed if isinstance(listed, list) else [listed]:
        if isinstance(one, str) and has(folder, one) and one.endswith((".yaml", ".yml")):
            files.append(PurePosixPath(one).as_posix())
        elif isinstance(one, dict):
            single |= dict(releases.leaves(one))
        else:
            notes.append(f"of the release {name} the values {one} are left out")
    for one in untyped.mappings(release, "set"):
        if "name" in one and isinstance(one.get("value"), str | int | float | bool):
            single[str(one["name"])] = one["value"]
        else:
            notes.append(f"of the release {name} {one.get('name')} of `set` is left out")
    return files, single
