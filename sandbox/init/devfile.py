"""Reads a devfile (devfile.io, 2.x): the images that it builds and the manifests that it deploys.

Containers of a devfile run editors' tools, or the source code by a tool's commands, and are left out.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from sandbox.config import text_file, yaml_text
from sandbox.config.untyped import mapping, mappings, strings
from sandbox.errors import UsageError
from sandbox.init.detected import App, Item, Told, build_options, last_part, once
from sandbox.init.detected import label as as_label
from sandbox.init.project_folders import has
from sandbox.kube import manifests
from sandbox.system.files import is_dir, is_file, is_inside

FILES = ("devfile.yaml", ".devfile.yaml", "devfile.yml", ".devfile.yml")
_VARIABLE = re.compile(r"\{\{\s*([\w.-]+)\s*\}\}")
_ARGUMENT = re.compile(r"(?:--build-arg[= ])?([A-Za-z_]\w*)=(.*)", re.DOTALL)


def load(folder: Path) -> Told | None:
    """Return the content of the folder's devfile; None if there is none, or none that builds or deploys something."""
    file = next((name for name in FILES if has(folder, name)), None)
    content = _content(folder / file) if file else None
    if content is None:
        return None
    components = mappings(content, "components")
    apps: list[App] = []
    items: list[Item] = []
    notes: list[str] = []
    for one in components:
        said = [f"{file}: {note}" for note in _component(folder, one, apps, items)]
        notes += said
    if not apps and not items:
        return None
    if running := [str(one.get("name")) for one in components if "container" in one]:
        notes.append(f"{file}: left out, since they run the source code for odo or an editor: {', '.join(running)}")
    if "parent" in content:
        notes.append(f"{file}: its parent is left out, with what that builds and deploys")
    return Told(tuple(apps), once(items), tuple(notes))


def _content(path: Path) -> dict[str, Any] | None:
    """Return the content of the file with its variables filled in; None if it is no devfile of version 2."""
    try:
        content = yaml_text.document(text_file.read(path))
    except (yaml.YAMLError, UsageError):
        return None
    if not isinstance(content, dict) or not str(content.get("schemaVersion")).startswith("2."):
        return None
    known = {str(key): str(value) for key, value in mapping(content, "variables").items()}
    filled: dict[str, Any] = _filled(content, known)
    return filled


def _filled(content: Any, known: Mapping[str, str]) -> Any:
    match content:
        case str():
            return _VARIABLE.sub(lambda one: known.get(one[1], one[0]), content)
        case list():
            return [_filled(one, known) for one in content]
        case dict():
            return {key: _filled(value, known) for key, value in content.items()}
        case _:
            return content


def _component(folder: Path, component: Mapping[str, Any], apps: list[App], items: list[Item]) -> Iterator[str]:
    """Add what the component builds or deploys, and yield notes of what is left out."""
    name = str(component.get("name"))
    for kind in ("kubernetes", "openshift"):
        if isinstance(deployed := component.get(kind), dict):
            path = _path(folder, deployed.get("uri"))
            if path is not None and _holds_manifests(folder / path):
                items.append(f"{path}/" if is_dir(folder / path) else path)
            else:
                where = (
                    "the devfile itself has it"
                    if "inlined" in deployed
                    else f"{deployed.get('uri')} is no manifest here"
                )
                yield f"{name} is left out: {where}"
    if isinstance(image := component.get("image"), dict):
        yield from _image(folder, name, image, apps)


def _image(folder: Path, name: str, image: Mapping[str, Any], apps: list[App]) -> Iterator[str]:
    given = mapping(image, "dockerfile")
    called, context = image.get("imageName"), _path(folder, given.get("buildContext") or ".")
    file = _path(folder, given.get("uri"))
    if not isinstance(called, str) or context is None or file is None or not is_file(folder / file):
        yield f"the image {called} is left out: what it is built from is not in this folder"
        return
    inside = posixpath.relpath(file, context)
    if inside.startswith("../"):
        yield f"the image {called} is left out: its Dockerfile, {file}, is not in the folder that is built, {context}"
        return
    said = [one for one in strings(given, "args") if one != "--build-arg"]
    pairs = {one: match for one in said if (match := _ARGUMENT.fullmatch(one))}
    build, unknown = build_options(inside, None, {match[1]: match[2] for match in pairs.values()})
    if lost := [*(one for one in said if one not in pairs), *unknown]:
        yield f"of the build of {called} these are left out: {', '.join(lost)}"
    apps.append(App(as_label(last_part(called) or name), context=context, names=(called,), build=build))


def _path(folder: Path, said: Any) -> str | None:
    """Return a path of the project; None for one that is elsewhere, or that no text says."""
    if not isinstance(said, str) or "://" in said or "{{" in said:
        return None
    path = posixpath.normpath(said)
    return path if is_inside(folder, folder / path) and not posixpath.isabs(path) else None


def _holds_manifests(path: Path) -> bool:
    try:
        return (is_file(path) or is_dir(path)) and bool(manifests.load([path]))
    except UsageError:
        return False
