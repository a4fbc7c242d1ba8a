"""The objects that a step applied last, in a sealed record in the cluster, so that unwanted ones are removed.

As `kubectl apply --prune` does with an ApplySet (KEP-3659), but by the objects' names and not by a label of theirs.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from sandbox.kube import object_keys
from sandbox.kube.api import Manifest, was_applied
from sandbox.kube.object_keys import ObjectKey
from sandbox.kube.records import Records

# These contain what no one could apply again, so they are never removed.
KEPT = {"Namespace", "CustomResourceDefinition", "PersistentVolume", "PersistentVolumeClaim"}


@dataclass(frozen=True)
class Applied:
    """The applied objects, and a digest of their content; no digest while they are being applied.

    `written` is when that was recorded, by the API server's clock; empty if unknown.
    """

    keys: tuple[ObjectKey, ...] = ()
    digest: str = ""
    written: str = ""

    def was_replaced(self, live: Manifest) -> bool:
        """Return whether another program created the object since, in place of the applied one."""
        created = str(live["metadata"].get("creationTimestamp") or "")
        return "" < self.written < created and not was_applied(live)

    def dropped(self, keys: Iterable[ObjectKey]) -> tuple[ObjectKey, ...]:
        """Return the objects that are not wanted any more and contain no data."""
        named = frozenset(keys)
        return tuple(key for key in self.keys if key not in named and key.kind not in KEPT)


def read(records: Records, name: str) -> Applied | None:
    """Return the content of the record `name`, None when this user's commands wrote none."""
    record = records.find(name)
    if record is None:
        return None
    return Applied(object_keys.from_json(record.data["objects"]), record.data["sha256"], record.written)


def write(records: Records, name: str, keys: Iterable[ObjectKey], digest: str = "") -> None:
    records.write(name, {"sha256": digest, "objects": object_keys.to_json(keys)})
