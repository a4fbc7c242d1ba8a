"""The storage that a node image brings, of which kind applies the class alone and the sandbox the other objects.

kind has kubectl apply them all, which takes half a second of processor time just when the first pods start.
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

# kind 0.33, pkg/cluster/internal/create/actions/installstorage
MANIFEST = PurePosixPath("/kind/manifests/default-storage.yaml")
CLASS = "StorageClass"


class DefaultStorage:
    """The objects of the first node's image that kind is not to apply."""

    def __init__(self, engine: Engine, names: Names) -> None:
        self._engine, self._names = engine, names
        self._objects: list[Manifest] = []

    def left_to_kind(self) -> Mapping[PurePosixPath, bytes]:
        """Return the file that the node is to have in place of its own; none where all is left to kind.

        That is so where there is no class, for kubectl must have something to apply.
        """
        found = self._engine.read_file(self._names.node, MANIFEST)
        try:
            objects: list[Manifest] = [one for one in yaml_text.documents(found or b"") if one]
            classes = [one for one in objects if one["kind"] == CLASS]
        except (yaml.YAMLError, TypeError, KeyError):  # kubectl says what is wrong with it
            return {}
        if not classes:
            return {}
        self._objects = [one for one in objects if one not in classes]
        return {MANIFEST: yaml.safe_dump_all(classes).encode()}

    def apply(self) -> None:
        """Apply the others. Raises ClusterError."""
        if self._objects:
            Cluster(self._names.kubeconfig).apply_all(self._objects)
