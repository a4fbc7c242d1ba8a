"""A release of a helm chart as an entry of `apply`, as files of Skaffold and Tilt say it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from pydantic import ValidationError

from sandbox.config.schema import RemoteChart
from sandbox.config.schema.values import LABEL
from sandbox.init.detected import Item, label
from sandbox.init.project_folders import has


def chart(
    folder: Path, called: str, version: Any, repositories: Mapping[str, Mapping[str, Any]]
) -> dict[str, Any] | None:
    """Return a chart in the form of the spec: a folder here, or from a registry or one of the `repositories`."""
    if called and has(folder, f"{called}/Chart.yaml"):
        return {"chart": PurePosixPath(called).as_posix()}
    repository, _, name = called.partition("/")
    known = repositories.get(repository, {})
    url = str(known.get("url", "")).rstrip("/")
    found: dict[str, Any] = {"chart": name, "repo": url, "version": str(version)}
    if called.startswith("oci://"):
        found = {"chart": called, "version": str(version)}
    elif known.get("oci"):
        found = {"chart": f"oci://{url.removeprefix('oci://')}/{name}", "version": str(version)}
    try:
        RemoteChart.model_validate(found)
    except ValidationError:
        return None
    return found


def entry(
    of: Mapping[str, Any],
    name: str,
    *,
    namespace: Any,
    values: Sequence[str],
    single: Mapping[str, Any],
    notes: list[str],
) -> Item:
    """Return the release `name` of a chart, with files of values and single ones; a bad namespace is noted."""
    found = {**of, "release": label(name)}
    if namespace and re.fullmatch(LABEL, str(namespace)):
        found["namespace"] = str(namespace)
    elif namespace:
        notes.append(f"of the release {name} the namespace {namespace} is left out: Kubernetes has none of that name")
    return {**found, **({"values": [*values]} if values else {}), **({"set": single} if single else {})}


def leaves(content: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the values by their paths, as in helm's --set."""
    if isinstance(content, Mapping):
        for key, one in content.items():
            name = str(key).replace(".", "\\.")
            yield from leaves(one, f"{path}.{name}" if path else name)
    elif isinstance(content, list):
        for number, one in enumerate(content):
            yield from leaves(one, f"{path}[{number}]")
    elif content is not None:
        yield path, content
