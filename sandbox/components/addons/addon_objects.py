"""An addon's objects in the cluster: read and filled in, applied, checked, recorded, and removed again."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from sandbox.components.addons.catalogue import ChosenAddon
from sandbox.components.content_hash import mark
from sandbox.kube import bulk, deletion, manifests
from sandbox.kube.api import Cluster, ClusterError, Say, title
from sandbox.kube.apply_attempts import apply_patiently
from sandbox.kube.deletion import is_leaving
from sandbox.kube.workload_status import LEAVING, WORKLOADS, progress

if TYPE_CHECKING:
    from sandbox.components.addons.addon_file import Condition

LABEL = "sandbox.dev/addon"
_PLACEHOLDER = re.compile(r"\$\{([a-z][a-z0-9_]*)\}")
Objects = tuple[dict[str, Any], ...]


@dataclass(frozen=True, order=True)
class ObjectKey:
    """The API version, kind, namespace and name of an object."""

    api_version: str
    kind: str
    namespace: str | None
    name: str

    @classmethod
    def of(cls, manifest: Mapping[str, Any]) -> ObjectKey:
        metadata = manifest["metadata"]
        return cls(manifest["apiVersion"], manifest["kind"], metadata.get("namespace"), metadata["name"])

    def __str__(self) -> str:
        return f"{self.kind} {f'{self.namespace}/' if self.namespace else ''}{self.name}"


@dataclass(frozen=True, kw_only=True)
class Record:
    """An addon that was applied: who asked for it, the digest of its objects, and those that it created, in order.

    Objects that existed before the addon are not among `objects`: they are not removed with it.
    """

    name: str
    source: str
    by: str
    digest: str
    objects: tuple[ObjectKey, ...]

    @property
    def title(self) -> str:
        """Return the name of the record in the cluster."""
        return f"addon-{self.name}"

    def data(self) -> dict[str, str]:
        """Return the content of the record."""
        return {"source": self.source, "by": self.by, "sha256": self.digest, "objects": written(self.objects)}

    @classmethod
    def of(cls, name: str, data: Mapping[str, str]) -> Record:
        """Return the addon `name` from the content of its record."""
        source, by, sha256 = (data.get(key, "") for key in ("source", "by", "sha256"))
        return cls(name=name, source=source, by=by, digest=sha256, objects=read_places(data.get("objects", "")))


def written(places: Iterable[ObjectKey]) -> str:
    """Return the places as records have them."""
    return json.dumps([[one.api_version, one.kind, one.namespace, one.name] for one in dict.fromkeys(places)])


def read_places(text: str) -> tuple[ObjectKey, ...]:
    """Return the places in a record; none in a text that no command wrote."""
    try:
        return tuple(ObjectKey(*one) for one in json.loads(text))
    except (ValueError, TypeError):
        return ()


def digest(manifests: Iterable[Mapping[str, Any]]) -> str:
    """Return the sha256 of the objects as they are applied."""
    return hashlib.sha256(json.dumps(list(manifests), sort_keys=True).encode()).hexdigest()


def fill(value: Any, values: Mapping[str, str]) -> Any:
    """Return `value` with each placeholder in `values` replaced; others stay, for shells have them too."""
    match value:
        case str():
            return _PLACEHOLDER.sub(partial(_value, values), value)
        case Mapping():
            return {key: fill(one, values) for key, one in value.items()}
        case list() | tuple():
            return [fill(one, values) for one in value]
    return value


def used(value: Any) -> frozenset[str]:
    """Return the names of the placeholders in `value`."""
    match value:
        case str():
            return frozenset(_PLACEHOLDER.findall(value))
        case Mapping():
            return frozenset().union(*map(used, value.values()))
        case list() | tuple():
            return frozenset().union(*map(used, value))
    return frozenset()


def _value(values: Mapping[str, str], found: re.Match[str]) -> str:
    return values.get(found[1], found[0])


def load(chosen: ChosenAddon) -> Objects:
    """Return the objects as they are written, in an order to apply them in, each with a namespace.

    Raises UsageError.
    """
    return tuple(map(_placed, manifests.load(chosen.addon.files)))


def filled(objects: Objects, values: Mapping[str, str]) -> Objects:
    """Return the objects with their placeholders filled in."""
    return tuple(fill(one, values) for one in objects)


def apply(cluster: Cluster, objects: Objects, *, say: Say) -> None:
    """Apply the objects in their order; raises ClusterError."""
    for one in objects:
        apply_patiently(cluster, one, say=say)


def existing(cluster: Cluster, places: Iterable[ObjectKey], *, held: bool = False) -> frozenset[ObjectKey]:
    """Return those of the places with an object of the sandbox's that is not being deleted, or is `held`."""
    found = ((place, _live(cluster, place)) for place in places)
    return frozenset(
        place
        for place, live in found
        if live and cluster.owns(live) and (not is_leaving(live) or (held and deletion.is_held(live)))
    )


def is_marked(cluster: Cluster, place: ObjectKey) -> bool:
    """Tell whether the object itself says that a step of the sandbox created it."""
    live = _live(cluster, place)
    return live is not None and bool(mark(live))


def lacking(cluster: Cluster, objects: Objects, conditions: Iterable[Condition]) -> Iterator[str]:
    """Yield what the objects still lack to be ready. Raises ClusterError when a workload cannot become ready."""
    for one, live in bulk.live(cluster, objects):
        if live is None:
            yield f"{title(one)} is gone"
        elif is_leaving(live):
            yield f"{title(one)} {LEAVING}"
        elif one["kind"] in WORKLOADS and (pending := progress(live)):
            yield f"{title(one)}: {pending}"
    yield from unmet(cluster, conditions)


def unmet(cluster: Cluster, conditions: Iterable[Condition]) -> Iterator[str]:
    """Yield those of the conditions that do not hold yet, with their messages."""
    for wanted in conditions:
        place = ObjectKey(wanted.apiVersion, wanted.kind, wanted.namespace, wanted.name)
        live = _live(cluster, place) or {}
        found = {one["type"]: one for one in (live.get("status") or {}).get("conditions") or ()}
        state = found.get(wanted.condition, {})
        if state.get("status") != "True":
            yield f"{place} is not {wanted.condition}: {state.get('message', 'nothing is said yet')}"


def remove(cluster: Cluster, places: Iterable[ObjectKey], *, wait: bool = True) -> tuple[ObjectKey, ...]:
    """Delete the sandbox's objects at the places, the last first, and `wait` until they are gone.

    Returns those that were there, and were not being deleted already. Raises ClusterError, BeingDeleted.
    """
    found = ((place, _live(cluster, place)) for place in reversed(tuple(places)))
    going = {place: live for place, live in found if live and cluster.owns(live)}
    (deletion.delete_whole if wait else deletion.begin)(cluster, tuple(going.values()))
    return tuple(place for place, live in going.items() if not deletion.is_leaving(live))


def _live(cluster: Cluster, place: ObjectKey) -> dict[str, Any] | None:
    try:
        return cluster.get(place.api_version, place.kind, place.name, place.namespace)
    except ClusterError as error:
        if error.status == 404:  # not even its kind exists
            return None
        raise


def _placed(manifest: dict[str, Any]) -> dict[str, Any]:
    """Return the object with a namespace; the API ignores it for kinds that have none."""
    default = None if manifest["kind"] == "Namespace" else "default"
    metadata = {"namespace": default, **manifest["metadata"]}
    return {**manifest, "metadata": {key: value for key, value in metadata.items() if value is not None}}
