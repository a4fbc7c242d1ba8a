"""An addon's objects in the cluster: read and filled in, applied, looked at, and taken away again."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from typing import Any

from sandbox.addons.addon import Condition
from sandbox.addons.choice import Chosen
from sandbox.addons.placeholders import fill
from sandbox.addons.record import Place
from sandbox.cluster import manifests
from sandbox.cluster.api import Cluster, ClusterError, title
from sandbox.cluster.attempt import attempt
from sandbox.cluster.readiness import WORKLOADS, progress
from sandbox.host.waiting import wait_until
from sandbox.steps.marked import mark

KIND_TIMEOUT = 30.0
GONE_TIMEOUT = 120.0

Objects = tuple[dict[str, Any], ...]


def load(chosen: Chosen) -> Objects:
    """The objects as they are written, in an order to apply them in, each with a namespace. Raises UsageError."""
    return tuple(map(_placed, manifests.load(chosen.addon.files)))


def filled(objects: Objects, values: Mapping[str, str]) -> Objects:
    """The objects with their placeholders filled in."""
    return tuple(fill(one, values) for one in objects)


def apply(cluster: Cluster, objects: Objects) -> None:
    """Apply the objects in their order; raises ClusterError."""
    for one in objects:
        wait_until(partial(attempt, cluster, one), what=title(one), timeout=KIND_TIMEOUT)


def existing(cluster: Cluster, places: Iterable[Place]) -> frozenset[Place]:
    """Those of the places where there is an object."""
    return frozenset(place for place in places if _live(cluster, place) is not None)


def is_marked(cluster: Cluster, place: Place) -> bool:
    """Whether the object at a place says itself that a step of the sandbox made it."""
    live = _live(cluster, place)
    return live is not None and bool(mark(live))


def lacking(cluster: Cluster, objects: Objects, conditions: Iterable[Condition]) -> Iterator[str]:
    """What the objects still lack to be there and ready. Raises ClusterError when a workload cannot become so."""
    for one in objects:
        live = _live(cluster, Place.of(one))
        if live is None:
            yield f"{title(one)} is gone"
        elif one["kind"] in WORKLOADS and (pending := progress(live)):
            yield f"{title(one)}: {pending}"
    for wanted in conditions:
        place = Place(wanted.apiVersion, wanted.kind, wanted.namespace, wanted.name)
        live = _live(cluster, place) or {}
        found = {one["type"]: one for one in (live.get("status") or {}).get("conditions") or ()}
        state = found.get(wanted.condition, {})
        if state.get("status") != "True":
            yield f"{place} is not {wanted.condition}: {state.get('message', 'nothing is said yet')}"


def remove(cluster: Cluster, places: Iterable[Place]) -> None:
    """Delete what is at the places, the last first, and wait until it is gone. Raises ClusterError, WaitTimeout."""
    left = tuple(reversed(tuple(places)))
    for place in left:
        cluster.delete(place.api_version, place.kind, place.name, place.namespace, whole=True)
    wait_until(partial(_still_there, cluster, left), what="objects to be removed", timeout=GONE_TIMEOUT)


def _still_there(cluster: Cluster, places: tuple[Place, ...]) -> str | None:
    found = existing(cluster, places)
    return ", ".join(map(str, sorted(found, key=str))) or None


def _live(cluster: Cluster, place: Place) -> dict[str, Any] | None:
    try:
        return cluster.get(place.api_version, place.kind, place.name, place.namespace)
    except ClusterError as error:
        if error.status == 404:  # not even its kind is known
            return None
        raise


def _placed(manifest: dict[str, Any]) -> dict[str, Any]:
    """The object with a namespace, as the API ignores it for kinds that have none."""
    default = None if manifest["kind"] == "Namespace" else "default"
    metadata = {"namespace": default, **manifest["metadata"]}
    return {**manifest, "metadata": {key: value for key, value in metadata.items() if value is not None}}
