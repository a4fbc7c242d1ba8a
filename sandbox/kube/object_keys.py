"""Names of objects in a cluster, as records list them, and the removal of what they name."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sandbox.kube import deletion
from sandbox.kube.api import Cluster
from sandbox.kube.deletion import is_leaving


@dataclass(frozen=True, order=True)
class ObjectKey:
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


def to_json(keys: Iterable[ObjectKey]) -> str:
    return json.dumps([[key.api_version, key.kind, key.namespace, key.name] for key in dict.fromkeys(keys)])


def from_json(text: str) -> tuple[ObjectKey, ...]:
    return tuple(ObjectKey(*fields) for fields in json.loads(text))


def find(cluster: Cluster, key: ObjectKey) -> dict[str, Any] | None:
    return cluster.get(key.api_version, key.kind, key.name, key.namespace)


def existing(cluster: Cluster, keys: Iterable[ObjectKey], *, held: bool = False) -> frozenset[ObjectKey]:
    """Return the keys of the sandbox's objects that exist and are not being deleted.

    With `held`, also of those whose deletion a finalizer holds.
    """
    objects = ((key, find(cluster, key)) for key in keys)
    return frozenset(
        key
        for key, live in objects
        if live and cluster.owns(live) and (not is_leaving(live) or (held and deletion.is_held(live)))
    )


def remove(cluster: Cluster, keys: Iterable[ObjectKey], *, wait: bool = True) -> tuple[ObjectKey, ...]:
    """Delete the sandbox's objects, the last first, and `wait` until they are gone.

    Returns the keys of those that existed and were not being deleted already. Raises ClusterError, BeingDeleted.
    """
    objects = ((key, find(cluster, key)) for key in reversed(tuple(keys)))
    going = {key: live for key, live in objects if live and cluster.owns(live)}
    deletion.delete_whole(cluster, tuple(going.values()), wait=wait)
    return tuple(key for key, live in going.items() if not is_leaving(live))
