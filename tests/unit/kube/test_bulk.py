"""Many objects are read side by side."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest

from sandbox.kube import bulk
from sandbox.kube.api import Cluster, ClusterError, Manifest
from tests.support.api_server import ApiServer, kubeconfig


@pytest.fixture
def cluster(server: ApiServer, tmp_path: Path) -> Cluster:
    return Cluster(kubeconfig(tmp_path / "config", server.server_address[1]))


def config(name: str, namespace: str = "ns") -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": namespace}}


def test_objects_come_in_order_with_those_that_are_gone(cluster: Cluster) -> None:
    cluster.apply_all([config("a"), config("c", "other")])
    pairs = list(bulk.live(cluster, [config("c", "other"), config("gone"), config("a")]))
    assert [manifest["metadata"]["name"] for manifest, _ in pairs] == ["c", "gone", "a"]
    assert [live and live["metadata"]["name"] for _, live in pairs] == ["c", None, "a"]


def test_objects_are_read_side_by_side(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    both = threading.Barrier(2)

    def live(self: Cluster, manifest: Manifest) -> dict[str, Any]:
        both.wait(10)
        return dict(manifest)

    monkeypatch.setattr(Cluster, "live", live)
    assert [live for _, live in bulk.live(cluster, [config("b"), config("a")])] == [config("b"), config("a")]


def test_error_of_the_cluster_is_raised(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Cluster, "live", Mock(side_effect=ClusterError("no answer")))
    with pytest.raises(ClusterError, match="no answer"):
        list(bulk.live(cluster, [config("a")]))
