"""Finds in a project's folder what a sandbox can use: Dockerfiles, a compose file, manifests, charts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

from sandbox.addons.podimages import pod_images
from sandbox.cluster import manifests
from sandbox.errors import UsageError
from sandbox.scaffold import compose, dockerfile
from sandbox.scaffold.found import App, Found, label

# Folders of tools, whose YAML and Dockerfiles are not the project's.
FOREIGN = {"build", "dist", "node_modules", "target", "vendor", "venv", "__pycache__"}
DEPTH = 2
MOST = 500  # files of a folder of manifests; what has more is something else
OURS = ("sandbox.yaml", "images.yaml", "images.lock.yaml", *compose.FILES)


def look(folder: Path) -> Found:
    """What the folder has. Raises UsageError for a compose file that cannot be read."""
    apps = tuple(_apps(folder))
    rendered = dict(_rendered(folder))
    applied = tuple(_manifests(folder, [folder / path for path in rendered]))
    objects = manifests.load(folder / path for path in applied)
    hosts, images = _every(_hosts, objects), _every(_images, objects)
    return Found(apps, applied, hosts, images, rendered)


def _apps(folder: Path) -> Iterator[App]:
    for name in compose.FILES:
        if (folder / name).is_file():
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
    if app.context is None or app.port or not file.is_file():
        return app
    return replace(app, port=dockerfile.port(file.read_text(errors="replace")))


def _rendered(folder: Path) -> Iterator[tuple[str, str]]:
    for place in (folder, *_folders(folder)):
        path = place.relative_to(folder).as_posix() + "/"
        if (place / "Chart.yaml").is_file():
            yield path, f"helm template {path}"
        elif (place / "kustomization.yaml").is_file() or (place / "kustomization.yml").is_file():
            yield path, f"kubectl kustomize {path}"


def _manifests(folder: Path, apart: Iterable[Path]) -> Iterator[str]:
    """Files and folders that hold Kubernetes objects and nothing else, the largest such folders."""
    taken: list[Path] = list(apart)
    for place in _folders(folder):
        if not any(place.is_relative_to(one) or one.is_relative_to(place) for one in taken) and _holds_objects(place):
            taken.append(place)
            yield place.relative_to(folder).as_posix() + "/"
    if folder not in taken:
        for file in sorted(folder.glob("*.y*ml")):
            if file.name not in OURS and _holds_objects(file):
                yield file.name


def _holds_objects(path: Path) -> bool:
    if path.is_dir() and len(list(islice(path.rglob("*"), MOST))) == MOST:
        return False
    try:
        return bool(manifests.load([path]))
    except UsageError:
        return False


def _folders(folder: Path, depth: int = DEPTH) -> Iterator[Path]:
    """The folders below, each before its own."""
    for place in sorted(folder.iterdir()):
        if place.is_dir() and not place.is_symlink() and place.name not in FOREIGN and place.name[0] != ".":
            yield place
            if depth > 1:
                yield from _folders(place, depth - 1)


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
