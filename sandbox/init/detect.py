"""Finds in a project's folder what a sandbox can use: Dockerfiles, compose and skaffold files, manifests, charts."""

from __future__ import annotations

import glob
import os
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import count, islice
from pathlib import Path
from typing import Any

import yaml

from sandbox.bundle.store import Store
from sandbox.components.addons.addon_images import pod_images
from sandbox.components.workloads import kustomization, user_manifests
from sandbox.components.workloads.helm import Helm
from sandbox.components.workloads.kustomization import Reads
from sandbox.config import text_file, yaml_text
from sandbox.config.schema import Chart
from sandbox.errors import SandboxError, UsageError
from sandbox.init import compose, dockerfile, helmfile, services, skaffold
from sandbox.init.detected import App, Found, Item, is_inside, label
from sandbox.init.skaffold import Skaffold
from sandbox.kube import manifests

# Folders of tools, whose YAML and Dockerfiles are not the project's.
FOREIGN = {"build", "dist", "node_modules", "target", "vendor", "venv", "__pycache__"}
DEPTH, DEEPER = 2, 4  # overlays are nested deeply
# Names of kustomizations: for development first, then for everything.
PREFERRED = ("dev", "development", "local", "sandbox", "kind", "minikube", "default", "base")
# Files of tools among manifests; if there are some, manifests are listed one by one.
MIXED = (*skaffold.FILES, "Tiltfile", "kind.yaml", "values.yaml", "kind-config.yaml")
MOST = 500  # manifests of one project; a folder with more is something else
# Names of folders with outdated files.
OLD = {"archive", "archived", "_archived", "deprecated", "legacy", "old"}
OURS = ("sandbox.yaml", "images.yaml", "images.lock.yaml", *compose.FILES)


def look(folder: Path, store: Store, profiles: Collection[str] = ()) -> Found:
    """Return what the folder contains. Raises UsageError for a compose file that cannot be read.

    `store` has the kubectl and helm of machines without them, which render kustomizations and charts to find hosts and
    images; `profiles` are those of the compose file whose services are wanted too.
    """
    folder = folder.absolute()
    told = skaffold.load(folder) or Skaffold()
    notes = list(told.notes)
    apps = tuple(_distinct(_exposing(folder, app) for app in (told.apps or _apps(folder, notes, profiles))))
    releases, left_out = helmfile.load(folder)
    notes += left_out
    applied = told.items or tuple(releases) or _chosen(folder, notes)
    objects = _objects(folder, applied, store)
    hosts, images = _every(_hosts, objects), _every(_images, objects)
    fronts = tuple(services.fronts(objects))
    if fronts:
        names = ", ".join(one.name for one in fronts)
        notes.append(f"no manifest is an Ingress; {services.FILE} has one for {names}")
    named = _every(lambda each: iter([each["metadata"]["name"]]), objects)
    return Found(apps, applied, hosts, images, fronts, named, tuple(notes))


def _distinct(apps: Iterable[App]) -> Iterator[App]:
    """Yield the apps, numbered where two would have one name."""
    seen: set[str] = set()
    for app in apps:
        name = next(
            one for number in count(1) if (one := app.name if number == 1 else f"{app.name}-{number}") not in seen
        )
        seen.add(name)
        yield replace(app, name=name)


def _apps(folder: Path, notes: list[str], profiles: Collection[str]) -> Iterator[App]:
    for name in compose.FILES:
        if (folder / name).exists():
            _require_inside(folder, folder / name)
            apps, left_out = compose.load(folder / name, profiles)
            notes += left_out
            yield from apps
            return
    for place in (folder, *_folders(folder)):
        if (place / "Dockerfile").is_file():
            context = place.relative_to(folder).as_posix()
            if _copies_from(folder, place):
                notes.append(f"{context}/Dockerfile is built from this folder, which has what it copies")
                yield App(label(place.name), context=".", build={"dockerfile": f"{context}/Dockerfile"})
            else:
                yield App(label("app" if place == folder else place.name), context=context)


def _copies_from(folder: Path, place: Path) -> bool:
    """Tell whether the Dockerfile in a subfolder copies what is not there, but in the project's folder."""
    file = place / "Dockerfile"
    if place == folder or not is_inside(folder, file):
        return False
    try:
        found = list(dockerfile.sources(text_file.read(file)))
    except UsageError:  # the build reports what is wrong with it
        return False
    return any(_exists(folder / one) and not _exists(place / one) for one in found)


def _exists(path: Path) -> bool:
    """Tell whether there is such a file, as far as this user may read; none has too long a name."""
    try:
        return path.exists()
    except OSError:
        return False


def _exposing(folder: Path, app: App) -> App:
    """Return the app with its Dockerfile's port if it has no other."""
    file = folder / (app.context or "") / app.build.get("dockerfile", "Dockerfile")
    if app.context is None or app.port or not file.is_file() or not is_inside(folder, file):
        return app
    try:
        return replace(app, port=dockerfile.port(text_file.read(file)))
    except UsageError:  # it names no readable port, and the build reports errors
        return app


def _require_inside(folder: Path, path: Path) -> None:
    if not is_inside(folder, path):
        raise UsageError(
            f"{path} is a link that leaves {folder}", details=os.path.realpath(path), fix="put the file there"
        )


def _chosen(folder: Path, notes: list[str]) -> tuple[Item, ...]:
    """Return what to apply: one overlay, else manifests, else charts; the others are noted."""
    overlay = _overlay(folder, notes)
    charts = [_path(folder, place) for place in (folder, *_folders(folder, DEEPER)) if _is_chart(folder, place)]
    kustomized = [place for place in _folders(folder, DEEPER) if manifests.kustomization(place)]
    written = list(_manifests(folder, [folder / one for one in charts], kustomized, notes))
    if overlay is not None:
        notes += [f"{one} is a chart, and left out: {{chart: {one}}} below `apply` takes it" for one in charts]
        used = [path.resolve() for path in kustomization.reads(folder / overlay).local]
        idle = (one for one in written if not any(path.is_relative_to((folder / one).resolve()) for path in used))
        notes += [f"{one} is left out, since the kustomization does not name it" for one in idle]
        return (overlay,)
    notes += [f"{path} is left out, by its name" for path in written if _is_old(path)]
    found = _with_kinds(folder, (path for path in written if not _is_old(path)), notes)
    if found:
        notes += [f"{one} is a chart, and left out: {{chart: {one}}} below `apply` takes it" for one in charts]
        return tuple(found)
    for one in charts:
        if lacking := list(_lacking(folder / one)):
            notes.append(f"{one} is a chart without {', '.join(lacking)} in its charts/: helm dependency build {one}")
    return tuple({"chart": one.rstrip("/"), "release": label(Path(folder.absolute(), one).name)} for one in charts)


def _lacking(chart: Path) -> Iterator[str]:
    """Yield the dependencies that a chart's folder lacks, without which helm does not render it."""
    content = yaml_text.document(text_file.read(chart / "Chart.yaml"))
    listed = content.get("dependencies")
    for one in listed if isinstance(listed, list) else ():
        name = one.get("name") if isinstance(one, dict) else None
        if isinstance(name, str) and "/" not in name:
            packed = list((chart / "charts").glob(f"{glob.escape(name)}-*.tgz"))
            yield from () if packed or (chart / "charts" / name).is_dir() else (name,)


def _is_old(path: str) -> bool:
    return not OLD.isdisjoint(path.split("/"))


def _overlay(folder: Path, notes: list[str]) -> str | None:
    """Return the kustomization to apply: one that no other builds on, preferably one for development."""
    found: dict[Path, Reads] = {}
    for place in (folder, *_folders(folder, DEEPER)):
        file = manifests.kustomization(place)
        if file and is_inside(folder, file) and "kind: Component" not in text_file.read(file):
            try:
                read = kustomization.reads(place)
            except UsageError as error:
                notes.append(f"{_path(folder, place)} is left out: {error.brief}")
                continue
            if read.fetched:
                notes.append(f"{_path(folder, place)} is left out: it fetches {read.fetched[0]}")
            elif all(is_inside(folder, one) for one in read.local):
                found[place] = read
    used = {one.resolve() for place, read in found.items() for one in read.local if one != place}
    tops = [place for place in found if place.resolve() not in used] or list(found)
    if not tops:
        return None
    best = min(tops, key=lambda place: (_preference(place.name), len(place.parts)))
    for place in tops:
        if place != best:
            notes.append(f"{_path(folder, place)} is another kustomization, and left out")
    notes.append(f"{_path(folder, best)} is applied by `kubectl kustomize`")
    return _path(folder, best)


def _preference(name: str) -> int:
    return PREFERRED.index(name) if name in PREFERRED else len(PREFERRED)


def _path(folder: Path, place: Path) -> str:
    return place.relative_to(folder).as_posix() + "/"


def _is_chart(folder: Path, place: Path) -> bool:
    """Tell whether the folder is a chart that can be installed, and not part of another one."""
    file = place / "Chart.yaml"
    if not file.is_file() or not is_inside(folder, file) or (place.parent.parent / "Chart.yaml").is_file():
        return False
    try:
        content = yaml_text.document(text_file.read(file))
    except (yaml.YAMLError, UsageError):
        return False
    return isinstance(content, dict) and content.get("type") != "library"


def _with_kinds(folder: Path, paths: Iterable[str], notes: list[str]) -> list[Item]:
    """Return the paths whose kinds the cluster will have, and that contain something not in the paths before."""
    loaded = {path: manifests.load([folder / path]) for one in paths for path in _parts(folder, one)}
    defined = {manifests.defined(one) for objects in loaded.values() for one in objects}
    found: list[Item] = []
    seen: set[tuple[str, ...]] = set()
    for path, objects in loaded.items():
        unknown = [
            one
            for one in objects
            if not manifests.is_builtin(group := one["apiVersion"].rpartition("/")[0])
            and (group, one["kind"]) not in defined
        ]
        # Two files may each bring the namespace that they are in.
        names = {manifests.identity(one) for one in objects if one["kind"] != "Namespace"}
        if unknown:
            kinds = ", ".join(dict.fromkeys(f"{one['kind']} ({one['apiVersion']})" for one in unknown))
            notes.append(f"{path} is left out, since nothing defines its kinds: {kinds}")
        elif twice := names & seen:
            what = "what" if names <= seen else f"some of what ({min(twice)[1]} {min(twice)[-1]}, …)"
            notes.append(f"{path} is left out, since {what} it says others say before it")
        else:
            found.append(path)
            seen |= names
    return found


def _parts(folder: Path, path: str) -> list[str]:
    """Return the path; of a folder that defines an object twice, the files, those with most objects first."""
    objects = manifests.load([folder / path])
    if len({manifests.identity(one) for one in objects}) == len(objects) or not path.endswith("/"):
        return [path]
    files = manifests.files(folder / path)
    files.sort(key=lambda file: -len(manifests.load([file])))
    return [file.relative_to(folder).as_posix() for file in files]


def _objects(folder: Path, items: Iterable[Item], store: Store) -> tuple[Mapping[str, Any], ...]:
    """Return the objects that are applied, as far as they can be read or rendered here."""
    found: list[Mapping[str, Any]] = []
    for item in items:
        with suppress(SandboxError):  # `up` reports what is wrong
            if isinstance(item, str):
                found += user_manifests.load([folder / item], store)
            else:
                values = tuple(folder / one for one in item.get("values", ()))
                if "version" not in item:  # `up` pulls those from elsewhere
                    chart = {**item, "chart": folder / item["chart"], "values": values}
                    found += Helm.find(store).render(Chart.model_validate(chart))
    return tuple(found)


def _manifests(folder: Path, charts: Sequence[Path], kustomized: Sequence[Path], notes: list[str]) -> Iterator[str]:
    """Return files and folders that contain Kubernetes objects; of a folder that contains other files, its files.

    What is in the folders of `charts` and `kustomized` is theirs.
    """
    taken = [*charts, *kustomized]
    for place in _folders(folder):
        if any(place.is_relative_to(one) for one in taken) or any(one.is_relative_to(place) for one in charts):
            continue
        above = any(one.is_relative_to(place) for one in kustomized)
        if not above and _holds_objects(folder, place):
            taken.append(place)
            yield _path(folder, place)
        elif above or any(file.name in MIXED for file in _listed(place)):
            yield from (file.relative_to(folder).as_posix() for file in _object_files(folder, place))
        elif len(list(place.glob("*.y*ml"))) < MOST and any(_object_files(folder, place)):
            try:
                manifests.load([place])
            except UsageError as error:
                notes.append(f"{_path(folder, place)} is left out: {error.brief.removeprefix(f'{folder}/')}")
    if folder not in taken:
        yield from (file.name for file in _object_files(folder, folder) if file.name not in OURS)


def _object_files(folder: Path, place: Path) -> Iterator[Path]:
    return (file for file in sorted(place.glob("*.y*ml")) if _holds_objects(folder, file))


def _holds_objects(folder: Path, path: Path) -> bool:
    if path.is_dir() and len(list(islice(path.rglob("*"), MOST))) == MOST:
        return False
    if not all(is_inside(folder, file) and _is_text(file.name) for file in manifests.files(path)):
        return False
    try:
        return bool(manifests.load([path]))
    except UsageError:
        return False


def _folders(folder: Path, depth: int = DEPTH) -> Iterator[Path]:
    """Yield the folders below, each before its own subfolders."""
    for place in _listed(folder):
        foreign = place.name in FOREIGN or place.name[0] == "." or not _is_text(place.name)
        if not foreign and _is_open(place):
            yield place
            if depth > 1:
                yield from _folders(place, depth - 1)


def _listed(folder: Path) -> list[Path]:
    """Return the folder's content; nothing where this user may not read: a database's folder may be in a project."""
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []


def _is_open(place: Path) -> bool:
    try:
        return not place.is_symlink() and place.is_dir() and os.access(place, os.R_OK | os.X_OK)
    except OSError:
        return False


def _is_text(name: str) -> bool:
    """Tell whether the name can be written into a file: bytes that are not UTF-8 cannot."""
    return name.isprintable() or not any("\ud800" <= one <= "\udfff" for one in name)


def _every(read: Callable[[Mapping[str, Any]], Iterator[str]], objects: Iterable[Mapping[str, Any]]) -> tuple[str, ...]:
    """Return what `read` finds in all objects, once each; malformed ones are skipped, for the cluster reports them."""
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
