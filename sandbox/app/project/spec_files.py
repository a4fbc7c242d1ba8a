"""Finds what a spec names and the project lacks or cannot use, with file, line and key."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from sandbox.components.addons import catalogue
from sandbox.components.workloads import gone_kinds, user_manifests
from sandbox.config import text_file, yaml_source
from sandbox.config.problems import dotted
from sandbox.config.schema import Chart, Kustomization, Spec
from sandbox.config.schema.values import SUBDOMAIN
from sandbox.config.yaml_text import KeyPath
from sandbox.errors import BadFile, UsageError
from sandbox.images import images_yaml
from sandbox.images.images_yaml import FromBuild
from sandbox.kube import manifests
from sandbox.kube.manifests import Manifest, title
from sandbox.kube.pod_images import pod_images
from sandbox.oci import reference

# Its objects may have any name that a URL can have.
RBAC = "rbac.authorization.k8s.io/v1"


def require(spec: Spec) -> None:
    """Raise BadFile for a file, folder or addon that the spec names and that does not exist."""
    for path, file in _named(spec):
        if not os.path.exists(file):  # noqa: PTH110  # a path of any length
            raise BadFile(
                f"{_place(spec, path)}: {_shown(file)} does not exist", fix=f"create it, or remove it from `{path[0]}`"
            )
    for index, use in enumerate(spec.addons):
        if catalogue.is_minikubes(spec, use.addon):
            continue
        try:
            catalogue.find_addon(use.addon)
        except UsageError as error:
            raise BadFile(
                f"{_place(spec, ('addons', index))}: {error.brief}", details=error.details, fix=error.fix
            ) from error


def require_contexts(spec: Spec) -> None:
    """Raise BadFile for a folder that images.yaml builds and that does not exist, or has no Dockerfile."""
    if spec.push is None:
        return
    places = yaml_source.read(text_file.read(spec.push)).places
    for index, entry in enumerate(images_yaml.load(spec.push)):
        if isinstance(entry, FromBuild):
            file = entry.context / (entry.dockerfile or "Dockerfile")
            missing = next((path for path in (entry.context, file) if not path.exists()), None)
            if missing:
                line = places["images", index].line
                raise BadFile(
                    f"{_shown(spec.push)}:{line}: images[{index}]: {_shown(missing)} does not exist",
                    fix="create it, or correct `context` and `dockerfile`",
                )


def require_objects(spec: Spec) -> None:
    """Raise BadFile for an object in a file of `apply` whose kind, name or image no cluster takes."""
    placed = list(_objects(spec))
    definitions = [each for _, each in placed if each["kind"] == "CustomResourceDefinition"]
    for place, each in placed:
        if spec.cluster.supports.whole_cluster:
            _require_kind(place, each, definitions, spec.cluster.kubernetes)
        name = str(each["metadata"]["name"])
        if each["apiVersion"] != RBAC and not re.fullmatch(SUBDOMAIN, name):
            raise BadFile(
                f"{place}: {each['kind']}: metadata.name: '{name}' is not a name that Kubernetes takes",
                fix=f"use lower-case letters, digits, hyphens and dots: {re.sub('[^a-z0-9.-]+', '-', name.lower())}",
            )
        for image in pod_images(each):
            try:
                reference.parse(image.reference)
            except UsageError as error:
                raise BadFile(f"{place}: {title(each)}: {error.brief}", details=error.details, fix=error.fix) from error


def _require_kind(place: str, manifest: Manifest, definitions: Sequence[Manifest], kubernetes: str | None) -> None:
    try:
        gone_kinds.require([manifest, *definitions], kubernetes)
    except BadFile as error:
        raise BadFile(f"{place}: {error.brief}", fix=error.fix) from error


def _objects(spec: Spec) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the objects of files and folders of manifests, each with its file and line."""
    for item in spec.apply:
        if isinstance(item, Path) and user_manifests.rendered(item) is None:
            for file in manifests.files(item):
                yield from manifests.placed(text_file.read(file), origin=_shown(file))


def _named(spec: Spec) -> Iterator[tuple[KeyPath, Path]]:
    """Yield the files and folders of this machine that the spec names, with their keys."""
    for index, item in enumerate(spec.apply):
        match item:
            case Path():
                yield ("apply", index), item
            case Kustomization(kustomize=folder):
                yield ("apply", index, "kustomize"), folder
            case Chart(chart=chart, values=values):
                yield ("apply", index, "chart"), chart
                yield from ((("apply", index, "values", number), file) for number, file in enumerate(values))
    if spec.push:
        yield ("push",), spec.push
    if spec.certs.default:
        yield ("certs", "default", "cert"), spec.certs.default.cert
        yield ("certs", "default", "key"), spec.certs.default.key
    if isinstance(spec.network.ca, Path):
        yield ("network", "ca"), spec.network.ca
    for index, account in enumerate(spec.credentials):
        if account.file:
            yield ("credentials", index, "file"), account.file


def _place(spec: Spec, path: KeyPath) -> str:
    where = spec.origin(*path).where
    return f"{where}: {dotted(path)}" if where else dotted(path)


def _shown(file: Path) -> str:
    relative = os.path.relpath(file)
    return str(file) if relative.startswith("..") else relative
