"""Reads the user manifests: the objects of everything that `apply` names, written as they are or rendered."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from sandbox.bundle.store import Store
from sandbox.config.schema.apply_schema import AnyChart, Item, Kustomization, Release
from sandbox.kube import manifests


def load(items: Iterable[Item], store: Store) -> tuple[dict[str, Any], ...]:
    """Return the objects in an order to apply them in, without those of charts."""
    objects: list[dict[str, Any]] = []
    for item in items:
        if source := rendered(item):
            objects += manifests.parse(text(source, store), origin=f"what {source.kustomize} renders to")
        elif isinstance(item, Path):
            objects += manifests.read(item)
    return manifests.ordered(objects)


def charts(items: Iterable[Item]) -> tuple[AnyChart, ...]:
    return tuple(item for item in items if isinstance(item, Release))


def rendered(item: Item) -> Kustomization | None:
    """Return the kustomization that the item names, by itself or by a folder that has one."""
    if isinstance(item, Kustomization):
        return item
    if isinstance(item, Release):
        return None
    return Kustomization(kustomize=item) if item.is_dir() and manifests.kustomization(item) else None


def text(source: Kustomization, store: Store) -> str:
    from sandbox.components.workloads import kustomization  # which plain files do without

    return kustomization.render(source.kustomize, store, remote=source.remote)
