"""An addon's objects in the cluster: read and filled in, applied, looked at, and taken away again."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from sandbox.components.addons.addon import Condition
from sandbox.components.addons.addon_record import Place
from sandbox.components.addons.choice import Chosen
from sandbox.components.addons.placeholders import fill
from sandbox.components.content_hash import mark
from sandbox.kube import deletion, manifests
from sandbox.kube.api import Cluster, ClusterError, Say, title
from sandbox.kube.deletion import is_leaving
from sandbox.kube.readiness import LEAVING, WORKLOADS, apply_patiently, progress

Objects = tuple[dict[str, Any], ...]


def load(chosen: Chosen) -> Objects:
    """The objects as they are written, in an order to apply them in, each with a namespace. Raises UsageError."""
    return tuple(map(_placed, manifests.load(chosen.addon.files)))


def filled(objects: Objects, values: Mapping[str, str]) -> Objects:
    """The objects with their placeholders filled in."""
    return tuple(fill(one, values) for one in objects)


def apply(cluster: Cluster, objects: Objects, *, say: Say) -> None:
    """Apply the objects in their order; raises ClusterError."""
    for one in objects:
        apply_patiently(cluster, one, say=say)


def existing(cluster: Cluster, places: Iterable[Place]) -> frozenset[Place]:
    """Those of the places where there is an object that stays."""
    found = ((place, _live(cluster, place)) for place in places)
    return frozenset(place for place, live in found if live is not None and not is_leaving(live))


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
        elif is_leaving(live):
            yield f"{title(one)} {LEAVING}"
        elif one["kind"] in WORKLOADS and (pending := progress(live)):
            yield f"{title(one)}: {pending}"
    yield from unmet(cluster, conditions)


def unmet(cluster: Cluster, conditions: Iterable[Condition]) -> Iterator[str]:
    """Those of the conditions that do not hold yet, with what is said of them."""
    for wanted in conditions:
        place = Place(wanted.apiVersion, wanted.kind, wanted.namespace, wanted.name)
        live = _live(cluster, place) or {}
        found = {one["type"]: one for one in (live.get("status") or {}).get("conditions") or ()}
        state = found.get(wanted.condition, {})
        if state.get("status") != "True":
            yield f"{place} is not {wanted.condition}: {state.get('message', 'nothing is said yet')}"


def remove(cluster: Cluster, places: Iterable[Place]) -> None:
    """Delete what is at the places, the last first, and wait until it is gone. Raises ClusterError, BeingDeleted."""
    going = [live for place in reversed(tuple(places)) if (live := _live(cluster, place))]
    for live in going:
        metadata = live["metadata"]
        cluster.delete(live["apiVersion"], live["kind"], metadata["name"], metadata.get("namespace"), whole=True)
    deletion.await_end(cluster, going)


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
