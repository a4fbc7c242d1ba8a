"""The objects that a step applied last, in a sealed record in the cluster, so that unwanted ones are removed.

As `kubectl apply --prune` does with an ApplySet (KEP-3659), but by the objects' names and not by a label of theirs.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from sandbox.kube import object_keys
from sandbox.kube.object_keys import ObjectKey
from sandbox.kube.records import Records

# These contain what no one could apply again, so they are never removed.
KEPT = {"Namespace", "CustomResourceDefinition", "PersistentVolume", "PersistentVolumeClaim"}


@dataclass(frozen=True)
class Applied:
    """The applied objects, and a digest of their content; no digest while they are being applied."""

    keys: tuple[ObjectKey, ...] = ()
    digest: str = ""

    def dropped(self, keys: Iterable[ObjectKey]) -> tuple[ObjectKey, ...]:
        """Return the objects that are not wanted any more and contain no data."""
        named = frozenset(keys)
        return tuple(key for key in self.keys if key not in named and key.kind not in KEPT)


def read(records: Records, name: str) -> Applied | None:
    """Return the content of the record `name`, None when this user's commands wrote none."""
    data = records.read(name)
    return None if data is None else Applied(object_keys.from_json(data["objects"]), data["sha256"])


def write(records: Records, name: str, keys: Iterable[ObjectKey], digest: str = "") -> None:
    records.write(name, {"sha256": digest, "objects": object_keys.to_json(keys)})
