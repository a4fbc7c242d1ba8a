"""What a node image brings is divided between kind, which applies the storage class, and the sandbox."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from sandbox.components.cluster.kind import node_manifests
from sandbox.components.cluster.kind.node_manifests import NETWORK, STORAGE, NodeManifests
from sandbox.names import Names
from tests.support.fakes import FakeEngine
from tests.support.memory_nodes import Nodes as InMemory

CLASS = {"apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "metadata": {"name": "standard"}}
ROLE = {
    "apiVersion": "rbac.authorization.k8s.io/v1",
    "kind": "ClusterRole",
    "metadata": {"name": "sandbox-pod-network"},
}
SPACE = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "local-path-storage"}}


@pytest.fixture
def applied(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What the cluster was asked to apply."""
    found: list[Any] = []

    class Recorded:
        def __init__(self, kubeconfig: Path) -> None:
            pass

        def apply_all(self, objects: list[Any]) -> None:
            found.extend(objects)

    monkeypatch.setattr(node_manifests, "Cluster", Recorded)
    return found


def brought(engine: FakeEngine, names: Names, manifest: str) -> NodeManifests:
    InMemory(engine).add(names, names.node, "control-plane")
    engine.write_file(names.node, STORAGE, manifest.encode())
    return NodeManifests(engine, names, networked=False)


def test_kind_is_left_the_class_and_others_are_applied(engine: FakeEngine, names: Names, applied: list[Any]) -> None:
    storage = brought(engine, names, yaml.safe_dump_all([SPACE, CLASS, None]))
    (left,) = storage.left_to_kind().values()
    assert list(yaml.safe_load_all(left)) == [CLASS]
    storage.apply_classes()
    assert applied == [CLASS]
    storage.apply()
    assert applied == [CLASS, SPACE]


def test_a_network_of_the_image_is_applied_unless_it_is_kinds(
    engine: FakeEngine, names: Names, applied: list[Any]
) -> None:
    kinds = brought(engine, names, yaml.safe_dump(CLASS))
    engine.write_file(names.node, NETWORK, b"subnet: {{ .PodSubnet }}\n")
    kinds.left_to_kind()
    kinds.apply()
    assert applied == []
    engine.write_file(names.node, NETWORK, yaml.safe_dump(ROLE).encode())
    ours = NodeManifests(engine, names, networked=True)
    assert ours.left_to_kind().keys() == {STORAGE}
    ours.apply()
    assert applied == [ROLE]


@pytest.mark.parametrize("manifest", [yaml.safe_dump(SPACE), "a: [", "- kind", "", "text"])
def test_storage_without_a_class_is_left_to_kind(
    engine: FakeEngine, names: Names, applied: list[Any], manifest: str
) -> None:
    storage = brought(engine, names, manifest)
    assert not storage.left_to_kind()
    storage.apply_classes()
    storage.apply()
    assert applied == []


def test_an_image_without_storage_is_left_alone(engine: FakeEngine, names: Names, applied: list[Any]) -> None:
    InMemory(engine).add(names, names.node, "control-plane")
    storage = NodeManifests(engine, names, networked=False)
    assert not storage.left_to_kind()
    storage.apply()
    assert applied == []
