"""What a sandbox.yaml may say of the user's own objects: manifests and kustomizations."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from pydantic import Discriminator, Field, Tag

from sandbox.config.schema.model import Model
from sandbox.config.schema.values import LocalPath


class Kustomization(Model):
    """A folder that `kubectl kustomize` renders, with what only some of them need."""

    kustomize: LocalPath = Field(description="The folder with the kustomization.yaml.")
    remote: bool = Field(
        default=False, description="Whether it may fetch bases and files from URLs and git repositories."
    )


Item = Path | Kustomization


def below(folder: Path, item: Item) -> Item:
    """The item with absolute paths, its relative ones taken from `folder`."""
    match item:
        case Kustomization():
            return item.model_copy(update={"kustomize": folder / item.kustomize})
        case _:
            return folder / item


def paths(items: tuple[Item, ...]) -> tuple[Path, ...]:
    """The files and folders that the items name."""
    found: list[Path] = []
    for item in items:
        match item:
            case Kustomization():
                found.append(item.kustomize)
            case _:
                found.append(item)
    return tuple(found)


def _kind(value: Any) -> str:
    return "kustomize" if isinstance(value, dict | Kustomization) else "path"


Applied = tuple[
    Annotated[
        Annotated[LocalPath, Tag("path")] | Annotated[Kustomization, Tag("kustomize")],
        Discriminator(_kind),
    ],
    ...,
]
