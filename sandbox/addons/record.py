"""What a cluster remembers of an addon, in a ConfigMap, so that all of it can be found and taken away again."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sandbox.names import SYSTEM_NAMESPACE

LABEL = "sandbox.dev/addon"


@dataclass(frozen=True, order=True)
class Place:
    """Where an object is in the API."""

    api_version: str
    kind: str
    namespace: str | None
    name: str

    @classmethod
    def of(cls, manifest: Mapping[str, Any]) -> Place:
        metadata = manifest["metadata"]
        return cls(manifest["apiVersion"], manifest["kind"], metadata.get("namespace"), metadata["name"])

    def __str__(self) -> str:
        return f"{self.kind} {f'{self.namespace}/' if self.namespace else ''}{self.name}"


@dataclass(frozen=True)
class Record:
    """An addon that was applied: who asked for it, the digest of its objects, and those that it brought, in order.

    What was there before the addon is not among `objects`: it does not go with it.
    """

    name: str
    source: str
    by: str
    digest: str
    objects: tuple[Place, ...]

    def manifest(self) -> dict[str, Any]:
        """The ConfigMap."""
        objects = [[one.api_version, one.kind, one.namespace, one.name] for one in self.objects]
        return {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {
                "name": f"addon-{self.name}",
                "namespace": SYSTEM_NAMESPACE,
                "labels": {LABEL: self.name},
            },
            "data": {
                "source": self.source,
                "by": self.by,
                "sha256": self.digest,
                "objects": json.dumps(objects),
            },
        }

    @classmethod
    def of(cls, found: Mapping[str, Any]) -> Record:
        """What the ConfigMap says."""
        data = found["data"]
        objects = tuple(Place(*one) for one in json.loads(data["objects"]))
        return cls(found["metadata"]["labels"][LABEL], data["source"], data["by"], data["sha256"], objects)


def digest(manifests: Iterable[Mapping[str, Any]]) -> str:
    """The sha256 of the objects as they are applied."""
    return hashlib.sha256(json.dumps(list(manifests), sort_keys=True).encode()).hexdigest()
