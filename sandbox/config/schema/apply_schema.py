"""What a sandbox.yaml may say of what is put into the cluster: the user's own objects, and addons."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, Discriminator, Field, Tag

from sandbox.config.schema.values import AddonSource, LocalPath, Model


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


class Addon(BaseModel, extra="forbid", frozen=True, strict=True):
    """Something for the cluster that the sandbox installs and keeps ready."""

    addon: AddonSource = Field(
        description="One of those that `sandbox addons list` names, or the folder of one of your own, with an "
        "addon.yaml, relative to this file's folder."
    )
    values: dict[str, str] = Field(default={}, description="Values for placeholders of the addon's manifests.")

    @property
    def name(self) -> str:
        """Its name, which is its folder's."""
        return Path(self.addon).name

    def below(self, folder: Path) -> Addon:
        """The addon with its own folder, if it has one, as an absolute path."""
        if "/" not in self.addon:
            return self
        return self.model_copy(update={"addon": os.path.normpath(folder / self.addon)})


def _alone(value: Any) -> Any:
    return {"addon": value} if isinstance(value, str) else value


Addons = tuple[Annotated[Addon, BeforeValidator(_alone)], ...]
