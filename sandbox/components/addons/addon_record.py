"""What a cluster remembers of an addon, in a sealed record, so that all of it can be found and removed again."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

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

    @property
    def title(self) -> str:
        """The name of the record in the cluster."""
        return f"addon-{self.name}"

    def data(self) -> dict[str, str]:
        """What the record says."""
        return {"source": self.source, "by": self.by, "sha256": self.digest, "objects": written(self.objects)}

    @classmethod
    def of(cls, name: str, data: Mapping[str, str]) -> Record:
        """What the record of the addon `name` says."""
        source, by, sha256 = (data.get(key, "") for key in ("source", "by", "sha256"))
        return cls(name, source, by, sha256, read_places(data.get("objects", "")))


def written(places: Iterable[Place]) -> str:
    """The places as records have them."""
    return json.dumps([[one.api_version, one.kind, one.namespace, one.name] for one in dict.fromkeys(places)])


def read_places(text: str) -> tuple[Place, ...]:
    """The places in a record; none in a text that no command wrote."""
    try:
        return tuple(Place(*one) for one in json.loads(text))
    except (ValueError, TypeError):
        return ()


def digest(manifests: Iterable[Mapping[str, Any]]) -> str:
    """The sha256 of the objects as they are applied."""
    return hashlib.sha256(json.dumps(list(manifests), sort_keys=True).encode()).hexdigest()
