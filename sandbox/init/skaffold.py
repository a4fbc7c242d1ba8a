"""Reads a skaffold.yaml (v2 to v4): what it builds and copies, and the manifests and charts that it deploys."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import Any

import yaml

from sandbox.config import text_file, yaml_text
from sandbox.errors import UsageError
from sandbox.fast_dataclass import dataclass
from sandbox.init import dockerfile as dockerfiles
from sandbox.init import helmfile, skaffold_dev
from sandbox.init.detected import App, Item, build_options, label
from sandbox.kube import manifests
from sandbox.system.files import is_file, is_inside

FILES = ("skaffold.yaml", "skaffold.yml")
# What builds an artifact in place of a Dockerfile.
BUILDERS = ("bazel", "buildpacks", "custom", "jib", "kaniko", "ko")
# `**` as a part of a name, where it means what `*` does and Path.glob() takes only that.
_STARS = re.compile(r"\*\*(?=[^/])|(?<=[^/])\*\*")


@dataclass(frozen=True)
class Skaffold:
    """The content of the file: programs that are built, what is deployed, and what was left out, in words."""

    apps: tuple[App, ...] = ()
    items: tuple[Item, ...] = ()
    notes: tuple[str, ...] = ()


def load(folder: Path) -> Skaffold | None:
    """Return the content of the folder's skaffold.yaml; None if there is none or it is not skaffold's."""
    file = next((name for name in FILES if (folder / name).is_file()), None)
    if file is None or not is_inside(folder, folder / file):
        return None
    apps: list[App] = []
    items: list[Item] = []
    notes: list[str] = []
    configs = list(_configs(folder, file, notes, set()))
    for below, config in configs:
        for artifact in _mappings(config, "build", "artifacts"):
            _artifact(folder, below, artifact, apps, notes)
        items += _deployed(folder, below, config, notes)
        notes += skaffold_dev.forwarded(_mappings(config, "portForward"))
    return Skaffold(tuple(apps), tuple(_once(items)), tuple(dict.fromkeys(notes))) if configs else None


def _configs(
    folder: Path, file: str, notes: list[str], seen: set[tuple[str, int]], wanted: Collection[str] = ()
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the configurations of a file, each after those it requires, with the folder that its paths are from.

    They are the `wanted` ones, or all, as `skaffold dev` has them; those already `seen` are not read again.
    """
    try:
        documents = yaml_text.documents(text_file.read(folder / file))
    except (yaml.YAMLError, UsageError):
        return
    for number, config in enumerate(documents):
        if not isinstance(config, dict) or not str(config.get("apiVersion")).startswith("skaffold/"):
            continue
        if (wanted and _at(config, "metadata", "name") not in wanted) or (file, number) in seen:
            continue
        seen.add((file, number))
        for one in _mappings(config, "requires"):
            if other := _required(folder, posixpath.dirname(file), one.get("path")):
                yield from _configs(folder, other, notes, seen, _strings(one, "configs"))
            elif one.keys() - {"configs", "activeProfiles"}:
                notes.append(f"{file}: what it requires from elsewhere is left out")
        yield posixpath.dirname(file), _developing(config, file, notes)


def _required(folder: Path, below: str, path: Any) -> str | None:
    """Return the file of a path in the folder `below`; None unless it is another one of the project."""
    if not isinstance(path, str) or "://" in path:
        return None
    place = _path(below, path) if below else posixpath.normpath(path)
    files = (place, *(posixpath.join(place, name) for name in FILES))
    return next((one for one in files if is_file(folder / one) and is_inside(folder, folder / one)), None)


def _developing(config: dict[str, Any], file: str, notes: list[str]) -> dict[str, Any]:
    """Return the configuration with the profile that `skaffold dev` activates."""
    others = []
    for profile in _mappings(config, "profiles"):
        if not any("dev" in str(one.get("command")).split("|") for one in _mappings(profile, "activation")):
            others.append(str(profile.get("name")))
            continue
        for key in ("build", "manifests", "deploy"):
            if isinstance(given := profile.get(key), dict):
                base = config.get(key)
                config = {**config, key: {**(base if isinstance(base, dict) else {}), **given}}
    if others:
        notes.append(f"{file}: its profiles {', '.join(others)} are left out")
    return config


def _path(below: str, path: str) -> str:
    """Return a path in the folder `below` from the project's folder."""
    return posixpath.normpath(posixpath.join(below, path)) if below and "://" not in path else path


def _artifact(folder: Path, below: str, artifact: Mapping[str, Any], apps: list[App], notes: list[str]) -> None:
    """Note one program that is built, if a Dockerfile does it."""
    image, context = artifact.get("image"), artifact.get("context", ".")
    if not isinstance(image, str) or not isinstance(context, str):
        return
    context = _path(below, context)
    other = next((one for one in BUILDERS if one in artifact), None)
    dockerfile = str(_at(artifact, "docker", "dockerfile") or "Dockerfile")
    if other or ".." in PurePosixPath(dockerfile).parts:
        notes.append(f"the image {image} is built by {other or dockerfile}: push it with `from: daemon`")
        return
    target, args = _at(artifact, "docker", "target"), _at(artifact, "docker", "buildArgs")
    build, unknown = build_options(dockerfile, target, args)
    notes += [f"the build argument {one} of {image} is left out, since skaffold computes it" for one in unknown]
    notes += [
        f"the image {image} is built from {one.get('image')}: build that before, and name it in images.yaml below "
        f"`args` of {image}, as {one.get('alias') or 'its Dockerfile does'}"
        for one in _mappings(artifact, "requires")
    ]
    name = label(PurePosixPath(image).name)
    if is_inside(folder, folder / context):
        build |= _sync(artifact, image, folder / context, dockerfile, notes)
        apps.append(App(name, context=str(PurePosixPath(context)), names=(image,), build=build))


def _sync(
    artifact: Mapping[str, Any], image: str, built: Path, dockerfile: str, notes: list[str]
) -> dict[str, list[dict[str, Any]]]:
    """Return what images.yaml says of the files that are copied into containers, not built."""
    manual, workdir = _mappings(artifact, "sync", "manual"), None
    with suppress(UsageError):  # the build reports what is wrong with it
        if manual and is_inside(built, built / dockerfile) and is_file(built / dockerfile):
            workdir = dockerfiles.workdir(text_file.read(built / dockerfile))
    paths, left_out = skaffold_dev.sync_paths(manual, built, workdir)
    computed = [one for one in ("infer", "auto") if _at(artifact, "sync", one)]
    if said := ", ".join((*left_out, *computed)):
        notes.append(f"the sync of {image} is left out for {said}: `sync` in images.yaml has files and whole folders")
    return {"sync": [{"paths": paths}]} if paths else {}


def _deployed(folder: Path, below: str, config: Mapping[str, Any], notes: list[str]) -> Iterator[Item]:
    """Yield the files, folders and charts; in v3 the keys moved from `deploy` to `manifests`."""
    for path in _strings(config, "manifests", "rawYaml") or _strings(config, "deploy", "kubectl", "manifests"):
        yield from _files(folder, _path(below, path), notes)
    for path in _strings(config, "manifests", "kustomize", "paths") or _strings(config, "deploy", "kustomize", "paths"):
        path = _path(below, path)
        if manifests.kustomization(folder / path) and is_inside(folder, folder / path):
            yield PurePosixPath(path).as_posix() + "/"
    for release in (
        *_mappings(config, "manifests", "helm", "releases"),
        *_mappings(config, "deploy", "helm", "releases"),
    ):
        yield from _release(folder, below, release, notes)


def _release(folder: Path, below: str, release: Mapping[str, Any], notes: list[str]) -> Iterator[Item]:
    """Yield the chart of a release, if `apply` can have it."""
    name, repository = str(release.get("name", "")), {"url": release.get("repo", "")}
    own = release.get("chartPath")
    called = _path(below, str(own)) if own else str(release.get("remoteChart") or "")
    called = f"REPO/{called}" if release.get("repo") else called
    chart = helmfile.remote_or_local(folder, called, release.get("version"), {"REPO": repository})
    if chart is None:
        notes.append(f"the release {name} is left out: its chart has no folder, or not one version and place")
        return
    if left := [key for key in ("setValueTemplates", "setFiles", "overrides") if release.get(key)]:
        notes.append(f"of the release {name} these are left out: {', '.join(left)}")
    item = {**chart, "release": label(name)}
    item |= {"namespace": str(release["namespace"])} if release.get("namespace") else {}
    values, listed = [_path(below, one) for one in _strings(release, "valuesFiles")], release.get("setValues")
    single = listed.items() if isinstance(listed, dict) else ()
    given = {str(key): one for key, one in single if isinstance(one, str | int)}
    yield {**item, **({"values": values} if values else {}), **({"set": given} if given else {})}


def _files(folder: Path, pattern: str, notes: list[str]) -> Iterator[str]:
    """Yield the files that a path or pattern of rawYaml means; a folder where it means everything in it."""
    if "://" in pattern or PurePosixPath(pattern).is_absolute() or ".." in PurePosixPath(pattern).parts:
        notes.append(f"{pattern} is not in the folder, and left out")
        return
    usual = _STARS.sub("*", pattern)
    found = sorted(folder.glob(usual)) if any(one in pattern for one in "*?[") else [folder / pattern]
    files = [one for one in found if is_file(one) and is_inside(folder, one) and one.suffix in manifests.SUFFIXES]
    whole = {place for one in files if (place := one.parent) != folder and set(manifests.files(place)) <= set(files)}
    for one in files:
        yield (
            f"{one.parent.relative_to(folder).as_posix()}/"
            if one.parent in whole
            else one.relative_to(folder).as_posix()
        )


def _once(items: Iterable[Item]) -> list[Item]:
    found: list[Item] = []
    for item in items:
        if item not in found:
            found.append(item)
    return found


def _at(content: Any, *path: str) -> Any:
    for key in path:
        content = content.get(key) if isinstance(content, dict) else None
    return content


def _mappings(content: Any, *path: str) -> list[dict[str, Any]]:
    found = _at(content, *path)
    return [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []


def _strings(content: Any, *path: str) -> list[str]:
    found = _at(content, *path)
    return [one for one in found if isinstance(one, str)] if isinstance(found, list) else []
