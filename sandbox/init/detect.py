"""Finds in a project's folder what a sandbox can use: Dockerfiles, a compose file, manifests, charts."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from itertools import count, islice
from pathlib import Path
from typing import Any

from sandbox.components.addons.addon_images import pod_images
from sandbox.config import text_file
from sandbox.errors import UsageError
from sandbox.init import compose, dockerfile
from sandbox.init.detected import App, Found, label
from sandbox.kube import manifests

# Folders of tools, whose YAML and Dockerfiles are not the project's.
FOREIGN = {"build", "dist", "node_modules", "target", "vendor", "venv", "__pycache__"}
DEPTH = 2
MOST = 500  # files of a folder of manifests; what has more is something else
OURS = ("sandbox.yaml", "images.yaml", "images.lock.yaml", *compose.FILES)


def look(folder: Path) -> Found:
    """What the folder has. Raises UsageError for a compose file that cannot be read."""
    apps = tuple(_distinct(_apps(folder)))
    rendered = dict(_rendered(folder))
    applied = tuple(_manifests(folder, [folder / path for path in rendered]))
    objects = manifests.load(folder / path for path in applied)
    hosts, images = _every(_hosts, objects), _every(_images, objects)
    return Found(apps, applied, hosts, images, rendered)


def _distinct(apps: Iterable[App]) -> Iterator[App]:
    """The apps, numbered where two would have one name."""
    seen: set[str] = set()
    for app in apps:
        name = next(
            one for number in count(1) if (one := app.name if number == 1 else f"{app.name}-{number}") not in seen
        )
        seen.add(name)
        yield replace(app, name=name)


def _apps(folder: Path) -> Iterator[App]:
    for name in compose.FILES:
        if (folder / name).exists():
            _require_inside(folder, folder / name)
            for app in compose.load(folder / name):
                yield _exposing(folder, app)
            return
    for place in (folder, *_folders(folder)):
        if (place / "Dockerfile").is_file():
            context = place.relative_to(folder).as_posix()
            name = "app" if place == folder else place.name
            yield _exposing(folder, App(label(name), context=context))


def _exposing(folder: Path, app: App) -> App:
    """The app with its Dockerfile's port where nothing else says one."""
    file = folder / (app.context or "") / "Dockerfile"
    if app.context is None or app.port or not file.is_file() or not _is_inside(folder, file):
        return app
    try:
        return replace(app, port=dockerfile.port(text_file.read(file)))
    except UsageError:  # it says no port that can be read, and the build will say what is wrong with it
        return app


def _is_inside(folder: Path, path: Path) -> bool:
    """Whether the path is in the folder, all its links followed: what lies elsewhere is none of the project's."""
    return Path(os.path.realpath(path)).is_relative_to(os.path.realpath(folder))


def _require_inside(folder: Path, path: Path) -> None:
    if not _is_inside(folder, path):
        raise UsageError(
            f"{path} is a link that leaves {folder}", details=os.path.realpath(path), fix="put the file there"
        )


def _rendered(folder: Path) -> Iterator[tuple[str, str]]:
    for place in (folder, *_folders(folder)):
        path = place.relative_to(folder).as_posix() + "/"
        if (place / "Chart.yaml").is_file():
            yield path, f"helm template {shlex.quote(path)}"
        elif (place / "kustomization.yaml").is_file() or (place / "kustomization.yml").is_file():
            yield path, f"kubectl kustomize {shlex.quote(path)}"


def _manifests(folder: Path, apart: Iterable[Path]) -> Iterator[str]:
    """Files and folders that hold Kubernetes objects and nothing else, the largest such folders."""
    taken: list[Path] = list(apart)
    for place in _folders(folder):
        if any(place.is_relative_to(one) or one.is_relative_to(place) for one in taken):
            continue
        if _holds_objects(folder, place):
            taken.append(place)
            yield place.relative_to(folder).as_posix() + "/"
    if folder not in taken:
        for file in sorted(folder.glob("*.y*ml")):
            if file.name not in OURS and _holds_objects(folder, file):
                yield file.name


def _holds_objects(folder: Path, path: Path) -> bool:
    if path.is_dir() and len(list(islice(path.rglob("*"), MOST))) == MOST:
        return False
    if not all(_is_inside(folder, file) and _is_text(file.name) for file in manifests.files(path)):
        return False
    try:
        return bool(manifests.load([path]))
    except UsageError:
        return False


def _folders(folder: Path, depth: int = DEPTH) -> Iterator[Path]:
    """The folders below, each before its own."""
    for place in sorted(folder.iterdir()):
        foreign = place.name in FOREIGN or place.name[0] == "." or not _is_text(place.name)
        if place.is_dir() and not place.is_symlink() and not foreign:
            yield place
            if depth > 1:
                yield from _folders(place, depth - 1)


def _is_text(name: str) -> bool:
    """Whether the name can be written into a file at all: bytes that are no UTF-8 cannot."""
    return name.isprintable() or not any("\ud800" <= one <= "\udfff" for one in name)


def _every(read: Callable[[Mapping[str, Any]], Iterator[str]], objects: Iterable[Mapping[str, Any]]) -> tuple[str, ...]:
    """What all objects say, once each; one of no sensible shape says nothing, and the cluster will say why."""
    found: dict[str, None] = {}
    for each in objects:
        with suppress(AttributeError, KeyError, TypeError):
            found |= dict.fromkeys(read(each))
    return tuple(found)


def _hosts(each: Mapping[str, Any]) -> Iterator[str]:
    if each["kind"] == "Ingress":
        yield from (rule["host"] for rule in each["spec"]["rules"] if rule.get("host"))


def _images(each: Mapping[str, Any]) -> Iterator[str]:
    yield from (image.reference for image in pod_images(each))
