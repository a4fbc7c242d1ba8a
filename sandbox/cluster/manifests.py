"""Reads Kubernetes manifests from files and folders and puts them in the order in which they can be applied."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import yaml

from sandbox.errors import UsageError

# What others refer to comes first; everything else keeps the order of its files.
FIRST = ("Namespace", "CustomResourceDefinition", "StorageClass", "ServiceAccount", "Secret", "ConfigMap")
SUFFIXES = {".yaml", ".yml", ".json"}


def load(paths: Iterable[Path]) -> tuple[dict[str, Any], ...]:
    """Every object in the files, and in the manifests of the folders, in an order to apply them in.

    Objects without a namespace stay without one. Raises UsageError naming file and document.
    """
    found = [manifest for path in paths for file in _files(path) for manifest in _objects(file)]
    return tuple(sorted(found, key=lambda m: FIRST.index(m["kind"]) if m["kind"] in FIRST else len(FIRST)))


def parse(text: str, *, origin: str) -> Iterator[dict[str, Any]]:
    """The objects of one YAML stream; `origin` names it in errors."""
    try:
        documents = list(yaml.safe_load_all(text))
    except yaml.YAMLError as error:
        raise UsageError(f"{origin} is not valid YAML", details=str(error)) from error
    for number, content in enumerate(documents, 1):
        if content is None:
            continue
        if not isinstance(content, dict) or not {"apiVersion", "kind"} <= content.keys():
            raise UsageError(
                f"{origin}, document {number}, is not a Kubernetes object", fix="give it apiVersion and kind"
            )
        if content["kind"] == "List":
            yield from content.get("items") or ()
        elif not (content.get("metadata") or {}).get("name"):
            raise UsageError(f"{origin}, document {number}: this {content['kind']} has no metadata.name")
        else:
            yield content


def _files(path: Path) -> list[Path]:
    if path.is_dir():
        return sorted(file for file in path.rglob("*") if file.suffix in SUFFIXES)
    return [path]


def _objects(file: Path) -> Iterator[dict[str, Any]]:
    try:
        text = file.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{file} cannot be read", details=str(error), fix="see `apply` in sandbox.yaml") from error
    yield from parse(text, origin=str(file))
