"""The objects that a step applied last, in a sealed record in the cluster, so that unwanted ones are removed.

As `kubectl apply --prune` does with an ApplySet (KEP-3659), but by the objects' names and not by a label of theirs.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from sandbox.components.addons.addon_objects import ObjectKey, read_places, written
from sandbox.kube.api import Manifest, was_applied
from sandbox.kube.records import FoundRecord, Records

# These contain what no one could apply again, so they are never removed.
KEPT = {"Namespace", "CustomResourceDefinition", "PersistentVolume", "PersistentVolumeClaim"}


@dataclass(frozen=True)
class Applied:
    """The applied objects, and a digest of their content; no digest while they are being applied.

    `written` is when that was recorded, by the API server's clock; empty if unknown.
    """

    places: tuple[ObjectKey, ...] = ()
    digest: str = ""
    written: str = ""

    def was_replaced(self, live: Manifest) -> bool:
        """Tell whether another program made the object since, in place of the applied one."""
        made = str(live["metadata"].get("creationTimestamp") or "")
        return "" < self.written < made and not was_applied(live)

    def dropped(self, wanted: Iterable[ObjectKey]) -> tuple[ObjectKey, ...]:
        """Return the objects that are not wanted any more and contain no data."""
        known = frozenset(wanted)
        return tuple(place for place in self.places if place not in known and place.kind not in KEPT)


def read(records: Records, name: str) -> Applied | None:
    """Return the content of the record `name`, None when there is no sealed one."""
    found = records.find(name)
    return _applied(found) if found and found.sealed else None


def claimed(records: Records, name: str) -> Applied | None:
    """Return the content of the record `name`, sealed or not: nothing may be deleted because of it alone."""
    found = records.find(name)
    return _applied(found) if found else None


def write(records: Records, name: str, places: Iterable[ObjectKey], digest: str = "") -> None:
    """Write the record `name`."""
    records.write(name, {"sha256": digest, "objects": written(places)})


def _applied(found: FoundRecord) -> Applied:
    return Applied(read_places(found.data.get("objects", "")), found.data.get("sha256", ""), found.written)
