"""What a sandbox.yaml may say of what is put into the cluster: the user's own objects, charts and addons."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, Discriminator, Field, Tag

from sandbox.config.schema.values import AddonSource, Label, LocalPath, Model


class Kustomization(Model):
    """A folder that `kubectl kustomize` renders, with what only some of them need."""

    kustomize: LocalPath = Field(description="The folder with the kustomization.yaml.")
    remote: bool = Field(default=False, description="Allow it to fetch bases and files from URLs and git repositories.")


class Chart(Model):
    """A Helm chart, installed and upgraded by `helm`."""

    chart: LocalPath = Field(description="The chart's folder, or an archive that `helm package` made.")
    release: Label | None = Field(
        default=None, description="The release's name; by default that of the chart's folder."
    )
    namespace: Label = Field(default="default", description="The release's namespace, created if missing.")
    values: tuple[LocalPath, ...] = Field(default=(), description="Files of values; later ones override earlier ones.")
    set: dict[str, str | int | float | bool] = Field(
        default={}, description="Single values by path (`image.tag`); they override the files."
    )

    @property
    def name(self) -> str:
        """Return the release's name."""
        return self.release or self.chart.name

    def __hash__(self) -> int:  # a dict has none
        return hash(self.model_dump_json())


Item = Path | Kustomization | Chart


def below(folder: Path, item: Item) -> Item:
    """Return the item with absolute paths, its relative ones taken from `folder`."""
    match item:
        case Kustomization():
            return item.model_copy(update={"kustomize": folder / item.kustomize})
        case Chart():
            values = tuple(folder / one for one in item.values)
            return item.model_copy(update={"chart": folder / item.chart, "values": values})
        case _:
            return folder / item


def paths(items: tuple[Item, ...]) -> tuple[Path, ...]:
    """Return the files and folders that the items name."""
    found: list[Path] = []
    for item in items:
        match item:
            case Kustomization():
                found.append(item.kustomize)
            case Chart():
                found += [item.chart, *item.values]
            case _:
                found.append(item)
    return tuple(found)


def _kind(value: Any) -> str:
    if isinstance(value, dict):
        return "chart" if "chart" in value else "kustomize"
    if isinstance(value, Model):
        return "chart" if isinstance(value, Chart) else "kustomize"
    return "path"


Applied = tuple[
    Annotated[
        Annotated[LocalPath, Tag("path")] | Annotated[Kustomization, Tag("kustomize")] | Annotated[Chart, Tag("chart")],
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
        """Return its name, which is its folder's."""
        return Path(self.addon).name

    def below(self, folder: Path) -> Addon:
        """Return the addon with its own folder, if it has one, as an absolute path."""
        if "/" not in self.addon:
            return self
        return self.model_copy(update={"addon": os.path.normpath(folder / self.addon)})


def _alone(value: Any) -> Any:
    return {"addon": value} if isinstance(value, str) else value


Addons = tuple[Annotated[Addon, BeforeValidator(_alone)], ...]
