"""The manifests that a node image brings, which the sandbox applies; kind applies the storage classes once more.

kind has kubectl apply them, a call for each file, which takes half a second of processor time just when the first pods
start.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePosixPath

import yaml

from sandbox.config import yaml_text
from sandbox.engine import Engine
from sandbox.kube.api import Cluster
from sandbox.kube.manifests import Manifest
from sandbox.names import Names

# kind 0.33, pkg/cluster/internal/create/actions/installstorage and installcni
STORAGE = PurePosixPath("/kind/manifests/default-storage.yaml")
NETWORK = PurePosixPath("/kind/manifests/default-cni.yaml")
CLASS = "StorageClass"


class NodeManifests:
    """The objects of the first node's image that kind is not to apply; of the network's all, if it is `networked`.

    A network that is left to kind may be a template, which kind fills in.
    """

    def __init__(self, engine: Engine, names: Names, *, networked: bool) -> None:
        self._engine, self._names, self._networked = engine, names, networked
        self._objects: list[Manifest] = []
        self._classes: list[Manifest] = []

    def left_to_kind(self) -> Mapping[PurePosixPath, bytes]:
        """Return the file that the node is to have in place of its own; none where all storage is left to kind.

        That is so where there is no class, for kubectl must have something to apply.
        """
        found = self._engine.ask(self._names.node, (STORAGE, NETWORK))
        self._objects = _objects(found[NETWORK][1]) if self._networked else []
        try:
            storage = _objects(found[STORAGE][1])
            self._classes = classes = [one for one in storage if one["kind"] == CLASS]
        except (yaml.YAMLError, TypeError, KeyError):  # kubectl says what is wrong with it
            return {}
        if not classes:
            return {}
        self._objects += [one for one in storage if one not in classes]
        return {STORAGE: yaml.safe_dump_all(classes).encode()}

    def apply_classes(self) -> None:
        """Apply the classes that kind applies later, before a manifest claims a volume of the default one.

        The controller manager looks at an older claim every 15 seconds only. Raises ClusterError.
        """
        if self._classes:
            Cluster(self._names.kubeconfig).apply_all(self._classes)

    def apply(self) -> None:
        """Apply the others. Raises ClusterError."""
        if self._objects:
            Cluster(self._names.kubeconfig).apply_all(self._objects)


def _objects(manifest: bytes) -> list[Manifest]:
    return [one for one in yaml_text.documents(manifest) if one]
