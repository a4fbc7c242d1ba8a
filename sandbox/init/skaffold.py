"""Reads a skaffold.yaml (v3 and v4): Dockerfile builds, manifests, kustomizations and charts; the rest is named.

The configurations of one file and one named profile count; what `skaffold dev` does besides has no counterpart here.
"""

import posixpath
import re
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import yaml

from sandbox.config import text_file, yaml_text
from sandbox.config.schema.values import LABEL
from sandbox.config.untyped import at, mapping, mappings, strings
from sandbox.errors import UsageError
from sandbox.init.detected import App, Item, ToolFile, build_options, chart_item, label
from sandbox.init.project_folders import has
from sandbox.kube import manifests
from sandbox.system.files import is_inside

FILES = ("skaffold.yaml", "skaffold.yml")
# Builders other than Docker's, and other keys of a build, that images.yaml has no counterpart for.
BUILDERS = ("bazel", "buildpacks", "custom", "jib", "ko")
TAKEN = {"buildArgs", "cacheFrom", "dockerfile", "noCache", "pullParent", "target"}
IDLE = (
    *("requires", "test", "portForward", "manifests.hooks", "manifests.kpt", "manifests.transform"),
    *("deploy.cloudrun", "deploy.docker", "deploy.kpt", "deploy.helm.hooks", "deploy.kubectl.hooks"),
)
# Any tag: `up` takes each for the image that is built.
TAG = "dev"
_OLD = re.compile(r"skaffold/v[12]")
_IMAGE_FIELD = re.compile(r"\{\{\s*\.IMAGE_(REPO|TAG|FULLY_QUALIFIED)(?:_(\w+))?\s*\}\}")
_DIGEST = re.compile(r"@\{\{\s*\.IMAGE_DIGEST\w*\s*\}\}")


def load(folder: Path, profiles: Collection[str] = ()) -> ToolFile | None:
    file = next((name for name in FILES if has(folder, name)), None)
    if file is None:
        return None
    try:
        documents = yaml_text.documents(text_file.read(folder / file))
    except (yaml.YAMLError, UsageError):
        return None
    configs = [each for each in documents if str(at(each, "apiVersion")).startswith("skaffold/")]
    if not configs:
        return None
    if old := [str(at(config, "apiVersion")) for config in configs if _OLD.match(str(at(config, "apiVersion")))]:
        return ToolFile(notes=(f"{file} is not read: `skaffold fix --overwrite` makes it newer than {old[0]}",))
    notes: list[str] = []
    names = frozenset(str(profile.get("name")) for config in configs for profile in mappings(config, "profiles"))
    if idle := sorted(names.difference(profiles)):
        notes.append(f"{file}: the profiles {', '.join(idle)} are left out: --profile NAME takes one")
    for config in configs:
        for profile in mappings(config, "profiles"):
            if profile.get("name") in profiles:
                config |= {
                    key: mapping(config, key) | mapping(profile, key) for key in ("build", "manifests", "deploy")
                }
                if "patches" in profile:
                    notes.append(f"{file}: `patches` of the profile {profile['name']} not read: write its keys out")
    unread = [path for path in IDLE if any(at(config, *path.split(".")) for config in configs)]
    if unread:
        notes.append(f"{file}: {', '.join(unread)} not read: write it into sandbox.yaml and images.yaml yourself")
    artifacts = [artifact for config in configs for artifact in mappings(config, "build", "artifacts")]
    apps = [app for artifact in artifacts for app in _artifact(folder, artifact, notes)]
    images = [str(artifact.get("image")) for artifact in artifacts]
    items: list[Item] = []
    for config in configs:
        items += (item for item in _deployed(folder, config, images, notes) if item not in items)
    return ToolFile(tuple(apps), tuple(items), tuple(dict.fromkeys(notes)), names)


def _artifact(folder: Path, artifact: Mapping[str, Any], notes: list[str]) -> Iterator[App]:
    image, context = artifact.get("image"), artifact.get("context", ".")
    if not isinstance(image, str) or not isinstance(context, str):
        return
    builder = next((key for key in BUILDERS if key in artifact), None)
    docker = mapping(artifact, "docker") or mapping(artifact, "kaniko")
    dockerfile = str(docker.get("dockerfile") or "Dockerfile")
    if builder or ".." in PurePosixPath(dockerfile).parts:
        notes.append(f"the image {image} is built by {builder or dockerfile}: push it with `from: daemon`")
        return
    if not is_inside(folder, folder / context):
        notes.append(f"the image {image} is left out: {context} is not in this folder")
        return
    build, unknown = build_options(dockerfile, docker.get("target"), docker.get("buildArgs"))
    lost = sorted({*docker} - TAKEN) + [key for key in ("hooks", "requires", "sync") if artifact.get(key)]
    lost += [f"buildArgs.{key}" for key in unknown]
    if lost:
        notes.append(f"of the build of {image} these are left out: {', '.join(lost)}")
    name = label(PurePosixPath(image).name)
    yield App(name, context=str(PurePosixPath(context)), names=(image,), build=build)


def _deployed(folder: Path, config: Mapping[str, Any], images: Collection[str], notes: list[str]) -> Iterator[Item]:
    for path in strings(config, "manifests", "rawYaml"):
        yield from _files(folder, path, notes)
    for path in strings(config, "manifests", "kustomize", "paths"):
        if manifests.kustomization(folder / path) and is_inside(folder, folder / path):
            yield posixpath.normpath(path) + "/"
        else:
            notes.append(f"{path} is left out: it is no kustomization in this folder")
    for section in ("manifests", "deploy"):
        for release in mappings(config, section, "helm", "releases"):
            yield from _release(folder, release, images, notes)


def _files(folder: Path, pattern: str, notes: list[str]) -> Iterator[str]:
    if "://" in pattern or PurePosixPath(pattern).is_absolute() or ".." in PurePosixPath(pattern).parts:
        notes.append(f"{pattern} is left out: it is not in this folder")
        return
    places = sorted(folder.glob(pattern)) if set("*?[") & set(pattern) else [folder / pattern]
    files = [file for place in places for file in manifests.files(place)]
    files = [file for file in files if has(folder, file) and file.suffix in manifests.SUFFIXES]
    if not files:
        notes.append(f"{pattern} is left out: it means no manifest in this folder")
    for file in dict.fromkeys(files):
        yield file.relative_to(folder).as_posix()


def _release(
    folder: Path, release: Mapping[str, Any], images: Collection[str], notes: list[str]
) -> Iterator[Mapping[str, Any]]:
    name, path = str(release.get("name", "")), str(release.get("chartPath") or "")
    if not path or not has(folder, f"{path}/Chart.yaml"):
        notes.append(f"the release {name} is left out: its chart is not in this folder")
        return
    values, lost = _values(release, images)
    if lost:
        notes.append(f"of the release {name} these are left out: {', '.join(lost)}")
    namespace, files = str(release.get("namespace") or ""), strings(release, "valuesFiles")
    namespace = namespace if re.fullmatch(LABEL, namespace) else ""
    yield chart_item(posixpath.normpath(path), name, namespace, list(map(posixpath.normpath, files)), values)


def _values(release: Mapping[str, Any], images: Collection[str]) -> tuple[dict[str, Any], list[str]]:
    values = dict(_leaves(mapping(release, "overrides")))
    for key, value in mapping(release, "setValues").items():
        values |= _leaves(value, str(key))  # the key is a path already
    lost = [key for key in ("setFiles", "packaged", "useHelmSecrets") if release.get(key)]
    for key, template in mapping(release, "setValueTemplates").items():
        text = _filled(str(template), images)
        values |= {} if "{{" in text else {key: text}
        lost += [f"setValueTemplates.{key}"] if "{{" in text else []
    return values, lost


def _leaves(content: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(content, Mapping):
        for key, value in content.items():
            name = str(key).replace(".", "\\.")
            yield from _leaves(value, f"{path}.{name}" if path else name)
    elif isinstance(content, list):
        for number, value in enumerate(content):
            yield from _leaves(value, f"{path}[{number}]")
    elif content is not None:
        yield path, content


def _filled(template: str, images: Collection[str]) -> str:
    names = {re.sub(r"[^A-Za-z0-9]", "_", image): image for image in images}  # as skaffold makes variables of them
    single = next(iter(images)) if len(images) == 1 else None

    def value(field: re.Match[str]) -> str:
        image = names.get(field[2]) if field[2] else single
        return {"REPO": image, "TAG": TAG, "FULLY_QUALIFIED": f"{image}:{TAG}"}[field[1]] if image else field[0]

    return _IMAGE_FIELD.sub(value, _DIGEST.sub("", template))
