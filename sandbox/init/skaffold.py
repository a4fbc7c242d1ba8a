"""Reads a skaffold.yaml (v2 to v4): what it builds and copies, and the manifests and charts that it deploys."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

import yaml

from sandbox.config import text_file, yaml_text
from sandbox.config.untyped import at, mapping, mappings, strings
from sandbox.errors import UsageError
from sandbox.init import dockerfile as dockerfiles
from sandbox.init import skaffold_dev, skaffold_patch, skaffold_release
from sandbox.init.detected import App, Item, Told, build_options, label, once
from sandbox.init.project_folders import has, shown
from sandbox.kube import manifests
from sandbox.system.files import is_inside

FILES = ("skaffold.yaml", "skaffold.yml")
# What builds an artifact in place of a Dockerfile.
BUILDERS = ("bazel", "buildpacks", "custom", "jib", "ko")
# What images.yaml has of a build by docker or kaniko; these also say how to build faster.
TAKEN = {"buildArgs", "cache", "cacheFrom", "dockerfile", "noCache", "pullParent", "secrets", "ssh", "target"}
# `**` as a part of a name and at the end, where skaffold takes it for `*` (filepath.Match) and Path.glob() does not.
_STARS = re.compile(r"\*\*(?=[^/]|$)|(?<=[^/])\*\*")


def load(folder: Path, profiles: Collection[str] = ()) -> Told | None:
    """Return the content of the folder's skaffold.yaml; None if there is none or it is not skaffold's.

    Its profiles count that `skaffold dev` activates, and those that are named.
    """
    file = next((name for name in FILES if has(folder, name)), None)
    if file is None:
        return None
    apps: list[App] = []
    items: list[Item] = []
    reading = _Reading(folder, profiles)
    configs = list(reading.configs(file))
    notes = reading.notes
    notes += (
        f"{name}: its profiles {', '.join(idle)} are left out: --profile NAME takes one"
        for name, idle in reading.idle.items()
    )
    artifacts = [(below, one) for below, config in configs for one in mappings(config, "build", "artifacts")]
    for below, artifact in artifacts:
        _artifact(folder, below, artifact, apps, notes)
    built = {name for app in apps for name in app.names}
    notes += (
        f"the image {app.names[0]} is built from {image}: build that before, and name it in images.yaml below "
        f"`args` of {app.names[0]}, as {argument}"
        for app in apps
        for argument, image in app.bases.items()
        if image not in built
    )
    images = [str(one.get("image")) for _, one in artifacts]
    for below, config in configs:
        items += _deployed(folder, below, config, images, notes)
        notes += skaffold_dev.forwarded(mappings(config, "portForward"))
    known = frozenset(reading.known)
    return Told(tuple(apps), once(items), tuple(dict.fromkeys(notes)), known) if configs else None


@dataclass
class _Reading:
    """The files of the project in `folder` with the `profiles` that are wanted: what is `seen` and left out so far."""

    folder: Path
    profiles: Collection[str]
    notes: list[str] = field(default_factory=list)
    seen: set[tuple[str, int]] = field(default_factory=set)
    idle: dict[str, dict[str, None]] = field(default_factory=dict)  # profiles, by file
    known: set[str] = field(default_factory=set)  # profiles, of all files

    def configs(self, file: str, wanted: Collection[str] = ()) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield the configurations of a file, each after those it requires, with the folder that its paths are from.

        They are the `wanted` ones, or all, as `skaffold dev` has them; those already seen are not read again.
        """
        try:
            documents = yaml_text.documents(text_file.read(self.folder / file))
        except (yaml.YAMLError, UsageError):
            return
        for number, config in enumerate(documents):
            if not isinstance(config, dict) or not str(config.get("apiVersion")).startswith("skaffold/"):
                continue
            if (wanted and at(config, "metadata", "name") not in wanted) or (file, number) in self.seen:
                continue
            self.seen.add((file, number))
            for one in mappings(config, "requires"):
                if other := self._required(posixpath.dirname(file), one.get("path")):
                    yield from self.configs(other, strings(one, "configs"))
                elif one.keys() - {"configs", "activeProfiles"}:
                    self.notes.append(f"{file}: what it requires from elsewhere is left out")
            whole = self._with_profiles(config, file)
            self.notes += (f"{file}: {part} is left out" for part in skaffold_dev.idle(whole))
            yield posixpath.dirname(file), whole

    def _required(self, below: str, path: Any) -> str | None:
        """Return the file of a path in the folder `below`; None unless it is another one of the project."""
        if not isinstance(path, str) or "://" in path:
            return None
        place = _path(below, path) if below else posixpath.normpath(path)
        files = (place, *(posixpath.join(place, name) for name in FILES))
        return next((one for one in files if has(self.folder, one)), None)

    def _with_profiles(self, config: dict[str, Any], file: str) -> dict[str, Any]:
        """Return the configuration with its profiles that count; others are noted."""
        for profile in mappings(config, "profiles"):
            name = str(profile.get("name"))
            self.known.add(name)
            if name not in self.profiles and not any(map(_is_of_dev, mappings(profile, "activation"))):
                self.idle.setdefault(file, {})[name] = None
                continue
            for key in ("build", "manifests", "deploy"):
                if isinstance(given := profile.get(key), dict):
                    config = {**config, key: {**mapping(config, key), **given}}
            if "portForward" in profile:
                config = {**config, "portForward": profile["portForward"]}
            for patch in mappings(profile, "patches"):
                try:
                    config = skaffold_patch.patched(config, patch)
                except UsageError as error:
                    self.notes.append(f"{file}: a patch of the profile {name} is left out: {error.brief}")
        return config


def _is_of_dev(activation: Mapping[str, Any]) -> bool:
    """Tell whether `skaffold dev` activates a profile, on any machine: by a pattern of commands, or one after `!`."""
    if activation.keys() != {"command"}:
        return False
    pattern = str(activation["command"])
    with suppress(re.error, OverflowError, RecursionError):
        return bool(re.search(pattern.removeprefix("!"), "dev")) is not pattern.startswith("!")
    return False


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
    how = next((given for key in ("docker", "kaniko") if isinstance(given := artifact.get(key), dict)), {})
    dockerfile = str(how.get("dockerfile") or "Dockerfile")
    if other or ".." in PurePosixPath(dockerfile).parts:
        notes.append(f"the image {image} is built by {other or dockerfile}: push it with `from: daemon`")
        return
    if not is_inside(folder, folder / context):
        notes.append(f"the image {image} is left out: {context} is not in this folder")
        return
    build, unknown = build_options(dockerfile, how.get("target"), how.get("buildArgs"))
    notes += [f"the build argument {one} of {image} is left out, since skaffold computes it" for one in unknown]
    lost = [*sorted(how.keys() - TAKEN), *(["hooks"] if artifact.get("hooks") else [])]
    notes += [f"of the build of {image} these are left out: {', '.join(lost)}"] if lost else []
    build |= _secrets(how)
    build |= _sync(artifact, image, folder / context, build, notes)
    name = label(PurePosixPath(image).name)
    bases = {str(one.get("alias") or one.get("image")): str(one.get("image")) for one in mappings(artifact, "requires")}
    apps.append(App(name, context=str(PurePosixPath(context)), names=(image,), build=build, bases=bases))


def _secrets(how: Mapping[str, Any]) -> dict[str, list[str]]:
    """Return the secrets and agents of a build as images.yaml has them, which is as docker has them."""
    secrets = [
        ",".join(f"{key}={one[key]}" for key in ("id", "src", "env") if one.get(key))
        for one in mappings(how, "secrets")
    ]
    found = {"secrets": secrets, "ssh": [str(how["ssh"])] if how.get("ssh") else []}
    return {key: values for key, values in found.items() if values}


def _sync(
    artifact: Mapping[str, Any], image: str, context: Path, build: Mapping[str, Any], notes: list[str]
) -> dict[str, list[dict[str, Any]]]:
    """Return what images.yaml says of the files that are copied into containers, not built."""
    manual = mappings(artifact, "sync", "manual")
    text = dockerfiles.read(context, build.get("dockerfile", "Dockerfile")) if manual else ""
    paths, left_out = skaffold_dev.sync_paths(manual, context, dockerfiles.workdir(text, build.get("target")))
    computed = [one for one in ("infer", "auto") if at(artifact, "sync", one)]
    if said := ", ".join((*left_out, *computed)):
        notes.append(f"the sync of {image} is left out for {said}: `sync` in images.yaml has files and whole folders")
    return {"sync": [{"paths": paths}]} if paths else {}


def _deployed(
    folder: Path, below: str, config: Mapping[str, Any], images: Collection[str], notes: list[str]
) -> Iterator[Item]:
    """Yield the files, folders and charts; in v3 the keys moved from `deploy` to `manifests`."""
    for path in strings(config, "manifests", "rawYaml") or strings(config, "deploy", "kubectl", "manifests"):
        yield from _files(folder, _path(below, path), notes)
    for path in strings(config, "manifests", "kustomize", "paths") or strings(config, "deploy", "kustomize", "paths"):
        path = _path(below, path)
        if manifests.kustomization(folder / path) and is_inside(folder, folder / path):
            yield PurePosixPath(path).as_posix() + "/"
        else:
            notes.append(f"{path} is left out: it is no kustomization in this folder")
    for release in (
        *mappings(config, "manifests", "helm", "releases"),
        *mappings(config, "deploy", "helm", "releases"),
    ):
        own = release.get("chartPath")
        values = [_path(below, one) for one in strings(release, "valuesFiles")]
        item, left_out = skaffold_release.item(folder, release, _path(below, str(own)) if own else "", values, images)
        notes += left_out
        yield from () if item is None else (item,)


def _files(folder: Path, pattern: str, notes: list[str]) -> Iterator[str]:
    """Yield the files that a path or pattern of rawYaml means; a folder where it means everything in it.

    A pattern that means a folder means all files below it (skaffold, util.ExpandPathsGlob).
    """
    if "://" in pattern or PurePosixPath(pattern).is_absolute() or ".." in PurePosixPath(pattern).parts:
        notes.append(f"{pattern} is not in the folder, and left out")
        return
    found = [folder / pattern]
    if any(one in pattern for one in "*?["):
        places = sorted(folder.glob(_STARS.sub("*", pattern)))
        found = list(dict.fromkeys(file for place in places for file in manifests.files(place)))
    files = [one for one in found if has(folder, one) and one.suffix in manifests.SUFFIXES]
    if not files:
        notes.append(f"{pattern} is left out: it means no manifest in this folder")
    whole = {place for one in files if (place := one.parent) != folder and set(manifests.files(place)) <= set(files)}
    for one in files:
        around = next((place for place in reversed(one.parents) if place in whole), None)
        yield shown(folder, around) if around else one.relative_to(folder).as_posix()
