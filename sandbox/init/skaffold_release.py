"""The release of a chart in a skaffold.yaml, with values that name the images that skaffold builds."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from sandbox.config import untyped
from sandbox.init import releases
from sandbox.init.detected import Item

# Any tag: `up` takes each for the image that is built.
TAG = "dev"
# What skaffold makes of the name of an image in the names of variables.
_NO_NAME = re.compile(r"[^A-Za-z0-9]")
_FIELD = re.compile(r"\{\{\s*\.IMAGE_(REPO|TAG|FULLY_QUALIFIED)(?:_(\w+))?\s*\}\}")
_DIGEST = re.compile(r"@\{\{\s*\.IMAGE_DIGEST\w*\s*\}\}")
# Keys without a counterpart; skaffold waits for a release, makes its namespace and upgrades it as `up` does.
LEFT_OUT = ("setFiles", "packaged", "useHelmSecrets")


def item(
    folder: Path, release: Mapping[str, Any], chart: str, values: list[str], images: Collection[str]
) -> tuple[Item | None, list[str]]:
    """Return a release as an entry of `apply`, None where that cannot have it, and notes of what is left out.

    The path of its own `chart` and of files of `values` are from the project's folder, and `images` are those that
    skaffold builds.
    """
    name = str(release.get("name", ""))
    called = chart or str(release.get("remoteChart") or "")
    called = f"REPO/{called}" if release.get("repo") else called
    repository = {"url": release.get("repo", "")}
    found = releases.chart(folder, called, release.get("version"), {"REPO": repository})
    if found is None:
        return None, [f"the release {name} is left out: its chart has no folder, or not one version and place"]
    given, lost = _set(release, images)
    lost += [key for key in LEFT_OUT if release.get(key)]
    notes = [f"of the release {name} these are left out: {', '.join(lost)}"] if lost else []
    space = release.get("namespace")
    return releases.entry(found, name, namespace=space, values=values, single=given, notes=notes), notes


def _set(release: Mapping[str, Any], images: Collection[str]) -> tuple[dict[str, Any], list[str]]:
    """Return the single values of a release by their paths, and the names of what is left out."""
    found: dict[str, Any] = {}
    lost: list[str] = []
    found |= releases.leaves(untyped.mapping(release, "overrides"))
    for key, value in untyped.mapping(release, "setValues").items():
        # The key is a path already, which a value may go on with.
        found |= releases.leaves(value, str(key))
    for key, value in untyped.mapping(release, "setValueTemplates").items():
        if (text := _filled(str(value), images)) is None:
            lost.append(f"setValueTemplates.{key}")
        else:
            found[key] = text
    for key, value in untyped.mapping(release, "artifactOverrides").items():  # of skaffold/v2
        if "helm" in untyped.mapping(release, "imageStrategy"):
            found |= {f"{key}.repository": str(value), f"{key}.tag": TAG}
        else:
            found[key] = str(value)
    return found, lost


def _filled(template: str, images: Collection[str]) -> str | None:
    """Return the text of a template whose fields are all of images that are built; None for another one."""
    named = {_NO_NAME.sub("_", one): one for one in images}
    alone = next(iter(images)) if len(images) == 1 else None

    def field(match: re.Match[str]) -> str:
        image = named.get(match[2]) if match[2] else alone
        if image is None:
            return match[0]
        return {"REPO": image, "TAG": TAG, "FULLY_QUALIFIED": f"{image}:{TAG}"}[match[1]]

    text = _FIELD.sub(field, _DIGEST.sub("", template))
    return None if "{{" in text else text
