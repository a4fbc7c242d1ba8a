"""Reads a helmfile.yaml without templates: the releases, their charts and values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import yaml
from pydantic import ValidationError

from sandbox.config import text_file, untyped, yaml_text
from sandbox.config.schema import RemoteChart
from sandbox.errors import UsageError
from sandbox.init.detected import Item, label
from sandbox.init.project_folders import has
from sandbox.system.files import is_file

FILES = ("helmfile.yaml", "helmfile.yml", "helmfile.yaml.gotmpl")


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
    content = {key: one for each in documents if isinstance(each, dict) for key, one in each.items()}
    repositories = {str(one.get("name")): one for one in untyped.mappings(content, "repositories")}
    items: list[Item] = []
    notes = [f"{file.name}: its {key} are left out" for key in ("helmfiles", "environments", "bases") if key in content]
    for release in untyped.mappings(content, "releases"):
        name = str(release.get("name", ""))
        if release.get("installed") is False:
            continue
        chart = remote_or_local(folder, str(release.get("chart", "")), release.get("version"), repositories)
        if chart is None:
            notes.append(
                f"the release {name} is left out: its chart {release.get('chart')} has no folder or one version"
            )
            continue
        items.append({**chart, "release": label(name), **_values(folder, release, name, notes)})
    return items, notes


def remote_or_local(
    folder: Path, chart: str, version: Any, repositories: Mapping[str, Mapping[str, Any]]
) -> dict[str, Any] | None:
    """Return a chart in the form of the spec: a folder here, or from a registry or one of the `repositories`."""
    if chart and has(folder, f"{chart}/Chart.yaml"):
        return {"chart": PurePosixPath(chart).as_posix()}
    repository, _, name = chart.partition("/")
    known = repositories.get(repository, {})
    url = str(known.get("url", "")).rstrip("/")
    found: dict[str, Any] = {"chart": name, "repo": url, "version": str(version)}
    if chart.startswith("oci://"):
        found = {"chart": chart, "version": str(version)}
    elif known.get("oci"):
        found = {"chart": f"oci://{url.removeprefix('oci://')}/{name}", "version": str(version)}
    try:
        RemoteChart.model_validate(found)
    except ValidationError:
        return None
    return found


def _values(folder: Path, release: Mapping[str, Any], name: str, notes: list[str]) -> dict[str, Any]:
    """Return the namespace, the files of values and the single values."""
    found: dict[str, Any] = {"namespace": str(release["namespace"])} if release.get("namespace") else {}
    files: list[str] = []
    single: dict[str, Any] = {}
    listed = release.get("values") or []
    for one in listed if isinstance(listed, list) else [listed]:
        if isinstance(one, str) and is_file(folder / one) and one.endswith((".yaml", ".yml")):
            files.append(PurePosixPath(one).as_posix())
        elif isinstance(one, dict):
            single |= dict(leaves(one))
        else:
            notes.append(f"of the release {name} the values {one} are left out")
    for one in untyped.mappings(release, "set"):
        if "name" in one and isinstance(one.get("value"), str | int | float | bool):
            single[str(one["name"])] = one["value"]
        else:
            notes.append(f"of the release {name} {one.get('name')} of `set` is left out")
    return {**found, **({"values": files} if files else {}), **({"set": single} if single else {})}


def leaves(content: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the values by their paths, as in helm's --set."""
    for key, one in content.items():
        place = f"{path}{str(key).replace('.', chr(92) + '.')}"
        if isinstance(one, Mapping):
            yield from leaves(one, f"{place}.")
        elif isinstance(one, list):
            for number, each in enumerate(one):
                if isinstance(each, Mapping):
                    yield from leaves(each, f"{place}[{number}].")
                else:
                    yield f"{place}[{number}]", each
        elif one is not None:
            yield place, one
