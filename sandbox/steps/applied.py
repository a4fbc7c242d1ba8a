"""What a step applied last, kept in a ConfigMap of the cluster, so that what it wants no more can be found and removed.

As `kubectl apply --prune` does with an ApplySet (KEP-3659), though by the objects' names and not by a label of theirs.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from sandbox.addons.record import Place
from sandbox.cluster.api import Cluster
from sandbox.names import SYSTEM_NAMESPACE

# These hold what nobody could apply again, so they are left when they are wanted no more.
KEPT = {"Namespace", "CustomResourceDefinition", "PersistentVolume", "PersistentVolumeClaim"}


@dataclass(frozen=True)
class Applied:
    """The objects, and a digest of what they said; none while they are being applied."""

    places: tuple[Place, ...] = ()
    digest: str = ""

    def dropped(self, wanted: Collection[Place]) -> tuple[Place, ...]:
        """Those that are not wanted any more and hold no data."""
        return tuple(place for place in self.places if place not in wanted and place.kind not in KEPT)


def read(cluster: Cluster, name: str) -> Applied | None:
    """What the ConfigMap `name` says, None when there is none."""
    found = cluster.get("v1", "ConfigMap", name, SYSTEM_NAMESPACE)
    if found is None:
        return None
    data = found.get("data") or {}
    return Applied(tuple(Place(*one) for one in json.loads(data.get("objects", "[]"))), data.get("sha256", ""))


def write(cluster: Cluster, name: str, places: Iterable[Place], digest: str = "") -> None:
    """Have the ConfigMap `name` say so."""
    objects = [[one.api_version, one.kind, one.namespace, one.name] for one in dict.fromkeys(places)]
    cluster.apply(
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": name, "namespace": SYSTEM_NAMESPACE},
            "data": {"sha256": digest, "objects": json.dumps(objects)},
        }
    )
