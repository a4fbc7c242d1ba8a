"""The objects that a step applied last, in a sealed record in the cluster, so that unwanted ones are removed.

As `kubectl apply --prune` does with an ApplySet (KEP-3659), but by the objects' names and not by a label of theirs.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from sandbox.components.addons.addon_objects import Place, read_places, written
from sandbox.fast_dataclass import dataclass
from sandbox.kube.records import Records

# These contain what no one could apply again, so they are never removed.
KEPT = {"Namespace", "CustomResourceDefinition", "PersistentVolume", "PersistentVolumeClaim"}


@dataclass(frozen=True)
class Applied:
    """The applied objects, and a digest of their content; no digest while they are being applied."""

    places: tuple[Place, ...] = ()
    digest: str = ""

    def dropped(self, wanted: Iterable[Place]) -> tuple[Place, ...]:
        """Return the objects that are not wanted any more and contain no data."""
        known = frozenset(wanted)
        return tuple(place for place in self.places if place not in known and place.kind not in KEPT)


def read(records: Records, name: str) -> Applied | None:
    """Return the content of the record `name`, None when there is no sealed one."""
    data = records.read(name)
    return None if data is None else _applied(data)


def claimed(records: Records, name: str) -> Applied | None:
    """Return the content of the record `name`, sealed or not: nothing may be deleted because of it alone."""
    found = records.find(name)
    return None if found is None else _applied(found.data)


def write(records: Records, name: str, places: Iterable[Place], digest: str = "") -> None:
    """Write the record `name`."""
    records.write(name, {"sha256": digest, "objects": written(places)})


def _applied(data: Mapping[str, str]) -> Applied:
    return Applied(read_places(data.get("objects", "")), data.get("sha256", ""))
