"""The user's own manifests, applied and waited for; what they say no more goes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from sandbox.addons.record import Place
from sandbox.cluster.api import Cluster, title
from sandbox.cluster.attempt import attempt
from sandbox.cluster.namespace import namespace
from sandbox.cluster.readiness import WORKLOADS, progress, wait_ready
from sandbox.host.waiting import wait_until
from sandbox.names import SYSTEM_NAMESPACE, Names
from sandbox.steps import addon_objects
from sandbox.steps.step import State, Status, Work

RECORD = "applied"
TIMEOUT = 300.0
# These hold what nobody could apply again, so they are only named when the manifests say them no more.
KEPT = {"Namespace", "CustomResourceDefinition", "PersistentVolume", "PersistentVolumeClaim"}


@dataclass(frozen=True)
class ApplyStep:
    """Applies the objects in order; a ConfigMap of ours in the cluster remembers what was applied last.

    What it remembers and the manifests say no more is deleted, as `kubectl apply --prune` does with an ApplySet
    (KEP-3659), data and namespaces excepted.
    """

    names: Names
    manifests: tuple[dict[str, Any], ...]
    needs: tuple[str, ...]
    name: str = "apply"

    @property
    def title(self) -> str:
        return f"{len(self.manifests)} objects of yours" if self.manifests else "Objects of yours"

    def check(self) -> Status:
        cluster = Cluster(self.names.kubeconfig)
        record = self._find(cluster)
        if record is None:
            return Status(State.ABSENT) if self.manifests else Status(State.READY, "none")
        dropped = self._dropped(record)
        if dropped:
            return Status(State.DRIFTED, f"no manifest says {', '.join(map(str, dropped))} any more")
        if record.get("sha256") != self._digest:
            return Status(State.DRIFTED, "the manifests have changed")
        for manifest in self._placed:
            metadata = manifest["metadata"]
            live = cluster.get(manifest["apiVersion"], manifest["kind"], metadata["name"], metadata["namespace"])
            if live is None:
                return Status(State.DRIFTED, f"{title(manifest)} is gone")
            pending = progress(live) if live["kind"] in WORKLOADS else None
            if pending:
                return Status(State.DRIFTED, f"{title(manifest)}: {pending}")
        left = [str(place) for place in _places(record) if place not in self._wanted]
        return Status(State.READY, f"left for you to delete: {', '.join(left)}" if left else "")

    def apply(self, work: Work) -> None:
        cluster = Cluster(self.names.kubeconfig)
        before = self._find(cluster) or {}
        cluster.apply(namespace(SYSTEM_NAMESPACE))
        # Remembered first, so that whatever comes to be is known; as applied it counts only when all is there.
        known = tuple(dict.fromkeys((*_places(before), *self._wanted)))
        cluster.apply(_record("", known))
        for manifest in self._placed:
            work.say(title(manifest))
            wait_until(partial(attempt, cluster, manifest), what=title(manifest), timeout=30)
        dropped = self._dropped(before)
        if dropped:
            work.say(f"removing {', '.join(map(str, dropped))}")
            addon_objects.remove(cluster, dropped)
        work.say("waiting for the pods")
        wait_ready(cluster, self._placed, timeout=TIMEOUT)
        left = addon_objects.existing(cluster, (place for place in known if place not in dropped))
        cluster.apply(_record(self._digest, (place for place in known if place in left)))

    def undo(self) -> bool:
        return False

    @property
    def _placed(self) -> list[dict[str, Any]]:
        """The objects, each with a namespace; the API ignores it for kinds that have none."""
        return [
            {**one, "metadata": {**one["metadata"], "namespace": one["metadata"].get("namespace", "default")}}
            if one["kind"] != "Namespace"
            else {**one, "metadata": {**one["metadata"], "namespace": None}}
            for one in self.manifests
        ]

    @property
    def _wanted(self) -> tuple[Place, ...]:
        return tuple(map(Place.of, self._placed))

    @property
    def _digest(self) -> str:
        return hashlib.sha256(json.dumps(self.manifests, sort_keys=True, default=str).encode()).hexdigest()

    def _find(self, cluster: Cluster) -> Mapping[str, str] | None:
        """What was applied last, if anything was."""
        found = cluster.get("v1", "ConfigMap", RECORD, SYSTEM_NAMESPACE)
        return None if found is None else found.get("data") or {}

    def _dropped(self, record: Mapping[str, str]) -> list[Place]:
        """What was applied, is said no more and holds no data."""
        return [place for place in _places(record) if place not in self._wanted and place.kind not in KEPT]


def _places(record: Mapping[str, str]) -> tuple[Place, ...]:
    return tuple(Place(*one) for one in json.loads(record.get("objects", "[]")))


def _record(digest: str, places: Iterable[Place]) -> Mapping[str, Any]:
    objects = [[one.api_version, one.kind, one.namespace, one.name] for one in places]
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": RECORD, "namespace": SYSTEM_NAMESPACE},
        "data": {"sha256": digest, "objects": json.dumps(objects)},
    }
