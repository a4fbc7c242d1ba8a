"""A cluster that is somebody else's: one namespace to use, nothing touched that is not labelled as ours."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from sandbox.kube.api import Cluster, ClusterError, Manifest, Say, log, title
from sandbox.names import LABEL

# Made by controllers from what is ours, under our labels; they go with it.
DERIVED = {"Endpoints", "EndpointSlice", "ReplicaSet", "ControllerRevision", "PodMetrics", "Event"}
WIDTH = 8


class NotOurs(ClusterError):
    """An object of that name is there already, and nobody told us that it is ours."""

    id = "not-ours"


class Tenant(Cluster):
    """One namespace of a cluster, in which every object of the sandbox `name` carries its label."""

    def __init__(self, kubeconfig: Path, namespace: str, name: str) -> None:
        super().__init__(kubeconfig)
        self.namespace = namespace
        self.name = name

    def owns(self, found: Manifest) -> bool:
        """Whether an object is this sandbox's."""
        return (found["metadata"].get("labels") or {}).get(LABEL) == self.name

    def own(self, manifest: Manifest) -> dict[str, Any]:
        """The object in our namespace and with our label, whatever it says of its namespace."""
        metadata = dict(manifest["metadata"])
        labels = {**(metadata.get("labels") or {}), LABEL: self.name}
        return {**manifest, "metadata": {**metadata, "namespace": self.namespace, "labels": labels}}

    def apply(self, manifest: Manifest, *, say: Say = log.info) -> None:
        """Create or change an object of ours. Raises NotOurs for one that is there without our label."""
        wanted = self.own(manifest)
        found = self.find(wanted)
        if found is not None and not self.owns(found):
            owner = (found["metadata"].get("labels") or {}).get(LABEL)
            raise NotOurs(
                f"{title(wanted)} is there already and is {f'the sandbox {owner!r}' if owner else 'somebody else'}'s",
                fix="give yours another name, or the sandbox another namespace: cluster: {namespace: …}",
            )
        super().apply(wanted, say=say)

    def find(self, manifest: Manifest) -> dict[str, Any] | None:
        """The object of that kind and name in our namespace, whoever's it is."""
        return self.get(manifest["apiVersion"], manifest["kind"], manifest["metadata"]["name"], self.namespace)

    def ours(self) -> list[dict[str, Any]]:
        """Every object of this sandbox in the namespace, of whatever kind may be deleted."""
        with ThreadPoolExecutor(WIDTH) as pool:
            kinds = [of for found in pool.map(self._deletable, self.groups()) for of in found]
            listed = pool.map(self._labelled, kinds)
            return [one for found in listed for one in found if not one["metadata"].get("ownerReferences")]

    def _deletable(self, version: str) -> list[tuple[str, str]]:
        try:
            found = self.resources(version)
        except ClusterError:  # a server of its own, which is away
            return []
        usable = (one for one in found if one.namespaced and one.may("list", "delete"))
        return [(version, one.kind) for one in usable if one.kind not in DERIVED]

    def _labelled(self, of: tuple[str, str]) -> list[dict[str, Any]]:
        version, kind = of
        try:
            return self.list(version, kind, self.namespace, selector=f"{LABEL}={self.name}")
        except ClusterError as error:
            if error.status in (403, 404, 405):  # what we may not see we cannot have made
                return []
            raise


def counted(objects: Sequence[Manifest]) -> str:
    """How many there are of each kind, in words."""
    kinds = sorted(one["kind"] for one in objects)
    return ", ".join(f"{kinds.count(kind)} {kind}" for kind in dict.fromkeys(kinds))
