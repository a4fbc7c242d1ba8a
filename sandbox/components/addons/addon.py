"""One addon as it is written: a folder of manifests, and in its addon.yaml what they need and when they are ready."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from sandbox.config import loader
from sandbox.config.schema.values import LABEL
from sandbox.errors import UsageError

FILE = "addon.yaml"
SUFFIXES = {".yaml", ".yml", ".json"}


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Condition(_Model):
    """A condition that the status of an object has to have, such as Available of an APIService."""

    apiVersion: str
    kind: str
    name: str
    namespace: str | None = None
    condition: str


class Description(_Model):
    """What an addon.yaml says; every workload among the manifests has to become ready anyway."""

    title: str = Field(description="What it is, in a few words.")
    needs: tuple[str, ...] = Field(default=(), description="The sandbox's own addons that have to be there first.")
    images: dict[str, str] = Field(default={}, description="Placeholder -> component of the bundle whose image it is.")
    values: dict[str, str] = Field(default={}, description="Placeholder -> its value where the spec says no other.")
    ready: tuple[Condition, ...] = Field(default=(), description="Conditions that make it ready.")
    instead: str | None = Field(default=None, description="The setting that brings it, when it is no addon.")


@dataclass(frozen=True)
class Addon:
    """An addon and the folder it is in; the folder's name is the addon's."""

    folder: Path
    about: Description

    @property
    def name(self) -> str:
        return self.folder.name

    @property
    def files(self) -> tuple[Path, ...]:
        """Its manifests, in the order of their paths."""
        return tuple(
            file
            for file in sorted(self.folder.rglob("*"))
            if file.suffix in SUFFIXES and file != self.folder / FILE and file.is_file()
        )


def read(folder: Path) -> Addon:
    """The addon in `folder`, an absolute path. Raises UsageError."""
    if not re.fullmatch(LABEL, folder.name):
        raise UsageError(
            f"the folder {folder} cannot be an addon",
            details="its name has to be lower-case letters, digits and hyphens, with no hyphen first or last",
            fix="rename it",
        )
    about = loader.load(folder / FILE, Description, create="write it: `title: WHAT IT IS` is enough")
    addon = Addon(folder, about)
    if about.instead is None and not addon.files:
        raise UsageError(f"the addon {folder} has no manifests", fix="put *.yaml beside its addon.yaml")
    return addon
