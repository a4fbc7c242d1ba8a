"""Reads Kubernetes manifests from files and folders and puts them in the order in which they can be applied."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from sandbox.config import text_file, yaml_text
from sandbox.errors import BadFile

# What others refer to comes first; everything else keeps the order of its files.
FIRST = ("Namespace", "CustomResourceDefinition", "StorageClass", "ServiceAccount", "Secret", "ConfigMap")
SUFFIXES = {".yaml", ".yml", ".json"}

Manifest = Mapping[str, Any]


def title(manifest: Manifest) -> str:
    """How an object is named to people: `Deployment demo/hello`."""
    metadata = manifest.get("metadata") or {}
    place = f"{metadata['namespace']}/" if metadata.get("namespace") else ""
    return f"{manifest.get('kind')} {place}{metadata.get('name')}"


def load(paths: Iterable[Path]) -> tuple[dict[str, Any], ...]:
    """Every object in the files, and in the manifests of the folders, in an order to apply them in.

    Objects without a namespace stay without one. Raises BadFile naming file and document.
    """
    found = [manifest for path in paths for file in files(path) for manifest in _objects(file)]
    return tuple(sorted(found, key=lambda m: FIRST.index(m["kind"]) if m["kind"] in FIRST else len(FIRST)))


def parse(text: str, *, origin: str) -> Iterator[dict[str, Any]]:
    """The objects of one YAML stream; `origin` names it in errors."""
    try:
        documents = yaml_text.documents(text)
    except yaml.YAMLError as error:
        raise BadFile(f"{origin} is not valid YAML", details=str(error)) from error
    for number, content in enumerate(documents, 1):
        if content is not None:
            yield from _checked(content, f"{origin}, document {number}")


def _checked(content: Any, place: str) -> Iterator[dict[str, Any]]:
    """The object, or those of a List; `place` is where it is from."""
    if not isinstance(content, dict) or not all(isinstance(content.get(key), str) for key in ("apiVersion", "kind")):
        raise BadFile(f"{place}, is not a Kubernetes object", fix="give it apiVersion and kind")
    if content["kind"] == "List":
        for index, item in enumerate(content.get("items") or (), 1):
            yield from _checked(item, f"{place}, item {index}")
        return
    metadata = content.get("metadata")
    if not isinstance(metadata, dict) or not metadata.get("name"):
        raise BadFile(f"{place}: this {content['kind']} has no metadata.name")
    yield content


def files(path: Path) -> list[Path]:
    """The files that `load` reads of the file or folder `path`."""
    if path.is_dir():
        return sorted(file for file in path.rglob("*") if file.suffix in SUFFIXES)
    return [path]


def _objects(file: Path) -> Iterator[dict[str, Any]]:
    yield from parse(text_file.read(file, fix="see `apply` in sandbox.yaml"), origin=str(file))


def namespace(name: str) -> dict[str, Any]:
    """The Namespace `name`."""
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
