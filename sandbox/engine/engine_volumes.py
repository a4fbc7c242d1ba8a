"""Volumes of the engine and their labels: made, found, removed."""

from __future__ import annotations

from collections.abc import Mapping

from sandbox.engine.base import Door, translated


class Volumes(Door):
    """What can be done with the engine's volumes."""

    def volume_labels(self, name: str) -> Mapping[str, str] | None:
        volume = self._found(f"looking at volume {name}", f"/volumes/{name}")
        return volume and dict(volume["Labels"] or {})

    def labelled_volumes(self, label: str) -> Mapping[str, Mapping[str, str]]:
        with translated("listing volumes"):
            volumes = self._get("/volumes", filters={"label": [label]})["Volumes"] or ()
            return {volume["Name"]: dict(volume["Labels"] or {}) for volume in volumes}

    def create_volume(self, name: str, labels: Mapping[str, str]) -> None:
        with translated(f"making volume {name}"):
            self._ask("POST", "/volumes/create", body={"Name": name, "Labels": dict(labels)})

    def remove_volume(self, name: str) -> bool:
        return self._removed(f"removing volume {name}", f"/volumes/{name}")
