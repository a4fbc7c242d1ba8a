"""What a sandbox.yaml may say about addons: which, and the values of their placeholders."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, Field

from sandbox.config.schema.values import AddonSource


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
