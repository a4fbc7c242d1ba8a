"""Sealed ConfigMaps in which commands record what they did, and the objects that such records name.

A record decides what a later command deletes, as an administrator, and which folder of this machine it reads. A pod or
user with the right to write ConfigMaps in the system's namespace could forge one, but for the seal, whose key never
enters the cluster.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from sandbox.kube import deletion
from sandbox.kube.api import Cluster
from sandbox.kube.deletion import is_leaving
from sandbox.kube.manifests import namespace
from sandbox.names import SYSTEM_NAMESPACE, Names
from sandbox.system import files

SEAL = "sandbox.dev/seal"

Data = Mapping[str, str]

_making = threading.Lock()


@dataclass(frozen=True)
class Record:
    name: str
    labels: Mapping[str, str]
    data: Data


@dataclass(frozen=True)
class Records:
    """The records of one sandbox in its cluster. Raises ClusterError.

    The key is next to the certificates: it outlives `down`, and is part of a snapshot as the records are. In a
    namespace that is not the system's, the ConfigMaps' names begin with `prefix`, and all have `labels`.
    """

    cluster: Cluster
    names: Names
    namespace: str = SYSTEM_NAMESPACE
    prefix: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, names: Names) -> Records:
        return cls(Cluster(names.kubeconfig), names)

    def read(self, name: str) -> Data | None:
        """Return the content of the record `name`, None when this user's commands wrote none."""
        live = self.cluster.get("v1", "ConfigMap", self.prefix + name, self.namespace)
        record = self._record(live) if live else None
        return record.data if record else None

    def list(self, selector: str) -> tuple[Record, ...]:
        live = self.cluster.list("v1", "ConfigMap", self.namespace, selector=selector)
        return tuple(filter(None, map(self._record, live)))

    def write(self, name: str, data: Data, labels: Mapping[str, str] | None = None) -> None:
        key, own, all_labels = self._made_key(), self.prefix + name, {**self.labels, **(labels or {})}
        annotations = {SEAL: self._seal(key, own, data, all_labels)}
        metadata = {"name": own, "namespace": self.namespace, "labels": all_labels, "annotations": annotations}
        if self.namespace == SYSTEM_NAMESPACE:
            self.cluster.apply(namespace(SYSTEM_NAMESPACE))
        self.cluster.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": dict(data)})

    def delete(self, name: str) -> None:
        self.cluster.delete("v1", "ConfigMap", self.prefix + name, self.namespace)

    def secret(self, purpose: str) -> str:
        """Return a password of this sandbox, always the same for one purpose."""
        return hmac.new(self._made_key(), f"{self.names.name} {purpose}".encode(), hashlib.sha256).hexdigest()[:24]

    def _record(self, live: Mapping[str, Any]) -> Record | None:
        metadata, data, key = live["metadata"], live.get("data") or {}, self._key()
        labels, seal = metadata.get("labels") or {}, (metadata.get("annotations") or {}).get(SEAL, "")
        expected = self._seal(key, metadata["name"], data, labels) if key else ""
        is_ours = expected and hmac.compare_digest(seal.encode(), expected.encode())
        return Record(metadata["name"].removeprefix(self.prefix), labels, data) if is_ours else None

    def _seal(self, key: bytes, name: str, data: Data, labels: Mapping[str, str]) -> str:
        text = json.dumps([self.names.name, name, dict(labels), dict(data)], sort_keys=True)
        return hmac.new(key, text.encode(), hashlib.sha256).hexdigest()

    def _key(self) -> bytes | None:
        return files.content(self.names.record_key) or None

    def _made_key(self) -> bytes:
        with _making:  # other commands on this sandbox wait; steps of one run come at once
            key = self._key()
            if key is None:
                key = secrets.token_hex(32).encode()  # text, like everything else that is searched for secrets
                files.write_private(self.names.record_key, key)
            return key


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


def keys_to_json(keys: Iterable[ObjectKey]) -> str:
    return json.dumps([[key.api_version, key.kind, key.namespace, key.name] for key in dict.fromkeys(keys)])


def keys_from_json(text: str) -> tuple[ObjectKey, ...]:
    return tuple(ObjectKey(*fields) for fields in json.loads(text))


def find_object(cluster: Cluster, key: ObjectKey) -> dict[str, Any] | None:
    return cluster.get(key.api_version, key.kind, key.name, key.namespace)


def existing_objects(cluster: Cluster, keys: Iterable[ObjectKey], *, held: bool = False) -> frozenset[ObjectKey]:
    """Return the keys of the sandbox's objects that exist and are not being deleted.

    With `held`, also of those whose deletion a finalizer holds.
    """
    objects = ((key, find_object(cluster, key)) for key in keys)
    return frozenset(
        key
        for key, live in objects
        if live and cluster.owns(live) and (not is_leaving(live) or (held and deletion.is_held(live)))
    )


def remove_objects(cluster: Cluster, keys: Iterable[ObjectKey], *, wait: bool = True) -> tuple[ObjectKey, ...]:
    """Delete the sandbox's objects, the last first, and `wait` until they are gone.

    Returns the keys of those that existed and were not being deleted already. Raises ClusterError, BeingDeleted.
    """
    objects = ((key, find_object(cluster, key)) for key in reversed(tuple(keys)))
    going = {key: live for key, live in objects if live and cluster.owns(live)}
    deletion.delete_whole(cluster, tuple(going.values()), wait=wait)
    return tuple(key for key, live in going.items() if not is_leaving(live))
