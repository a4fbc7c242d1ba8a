"""Volumes of the engine: what outlives containers."""

from __future__ import annotations

from collections.abc import Mapping

from docker.errors import NotFound

from sandbox.engine.base import Door
from sandbox.engine.call_cache import once
from sandbox.engine.engine_errors import translated


class Volumes(Door):
    """What can be done with the engine's volumes."""

    @once
    def volume_labels(self, name: str) -> Mapping[str, str] | None:
        """The labels of a volume, or None when there is none of that name."""
        with translated(f"looking at volume {name}"):
            try:
                return dict(self._client.api.inspect_volume(name)["Labels"] or {})
            except NotFound:
                return None

    def labelled_volumes(self, label: str) -> Mapping[str, Mapping[str, str]]:
        """The labels of every volume that has `label`, by the volume's name."""
        with translated("listing volumes"):
            found = self._client.api.volumes(filters={"label": label})["Volumes"] or ()
            return {one["Name"]: dict(one["Labels"] or {}) for one in found}

    def create_volume(self, name: str, labels: Mapping[str, str]) -> None:
        """Make a volume, or find the one of that name."""
        with translated(f"making volume {name}"):
            self._client.api.create_volume(name, labels=dict(labels))

    def remove_volume(self, name: str) -> bool:
        """Remove a volume and its data; returns whether there was one."""
        with translated(f"removing volume {name}"):
            try:
                self._client.api.remove_volume(name)
            except NotFound:
                return False
            return True
