"""What a node image brings for volumes is divided between kind, which applies the class, and the sandbox."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from sandbox.components.cluster.kind import default_storage
from sandbox.components.cluster.kind.default_storage import MANIFEST, DefaultStorage
from sandbox.names import Names
from tests.support.fakes import FakeEngine
from tests.support.memory_nodes import Nodes as InMemory

CLASS = {"apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "metadata": {"name": "standard"}}
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

    monkeypatch.setattr(default_storage, "Cluster", Recorded)
    return found


def brought(engine: FakeEngine, names: Names, manifest: str) -> DefaultStorage:
    InMemory(engine).add(names, names.node, "control-plane")
    engine.write_file(names.node, MANIFEST, manifest.encode())
    return DefaultStorage(engine, names)


def test_kind_is_left_the_class_and_others_are_applied(engine: FakeEngine, names: Names, applied: list[Any]) -> None:
    storage = brought(engine, names, yaml.safe_dump_all([SPACE, CLASS, None]))
    (left,) = storage.left_to_kind().values()
    assert list(yaml.safe_load_all(left)) == [CLASS]
    storage.apply()
    assert applied == [SPACE]


@pytest.mark.parametrize("manifest", [yaml.safe_dump(SPACE), "a: [", "- kind", "", "text"])
def test_storage_without_a_class_is_left_to_kind(
    engine: FakeEngine, names: Names, applied: list[Any], manifest: str
) -> None:
    storage = brought(engine, names, manifest)
    assert not storage.left_to_kind()
    storage.apply()
    assert applied == []


def test_an_image_without_storage_is_left_alone(engine: FakeEngine, names: Names, applied: list[Any]) -> None:
    InMemory(engine).add(names, names.node, "control-plane")
    storage = DefaultStorage(engine, names)
    assert not storage.left_to_kind()
    storage.apply()
    assert applied == []
