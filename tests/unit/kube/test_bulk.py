"""Many objects of a kind are listed at once, and are the same as each by itself."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest

from sandbox.kube import bulk
from sandbox.kube.api import Cluster, ClusterError
from tests.support.api_server import ApiServer, kubeconfig


@pytest.fixture
def cluster(server: ApiServer, tmp_path: Path) -> Cluster:
    return Cluster(kubeconfig(tmp_path / "config", server.server_address[1]))


def config(name: str, namespace: str = "ns") -> dict[str, Any]:
    metadata = {"name": name, "namespace": namespace}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"k": name}}


WANTED = [config("a"), config("b", "other"), config("c"), config("gone"), config("d")]
THERE = [one for one in WANTED if one["metadata"]["name"] != "gone"]


def found(cluster: Cluster, server: ApiServer) -> tuple[list[str | None], int]:
    """What of WANTED is there, by name, and by how many requests that is known."""
    server.asked.clear()
    live = list(bulk.live(cluster, WANTED))
    assert [one for one, _ in live] == WANTED
    assert all(there is None or there["kind"] == "ConfigMap" for _, there in live)
    return [there["metadata"]["name"] if there else None for _, there in live], len(server.asked)


def test_several_of_a_kind_and_namespace_are_one_request(cluster: Cluster, server: ApiServer) -> None:
    cluster.apply_all([*THERE, config("others"), config("gone", "other")])
    assert found(cluster, server) == (["a", "b", "c", None, "d"], 2)


def test_nothing_is_found_in_an_empty_namespace(cluster: Cluster, server: ApiServer) -> None:
    assert found(cluster, server)[0] == [None] * len(WANTED)


@pytest.mark.parametrize("status", sorted(bulk.ALONE))
def test_objects_that_cannot_be_listed_are_asked_for_singly(
    cluster: Cluster, server: ApiServer, status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster.apply_all(THERE)
    monkeypatch.setattr(Cluster, "page", Mock(side_effect=ClusterError("no", status=status)))
    assert found(cluster, server) == (["a", "b", "c", None, "d"], len(WANTED))


def test_object_among_too_many_others_is_asked_for_singly(
    cluster: Cluster, server: ApiServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bulk, "SPARE", 2)
    cluster.apply_all([*THERE, *(config(f"other{number}") for number in range(9))])
    assert found(cluster, server) == (["a", "b", "c", None, "d"], 1 + len(WANTED))


def test_error_of_the_cluster_is_raised(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Cluster, "page", Mock(side_effect=ClusterError("no answer")))
    with pytest.raises(ClusterError, match="no answer"):
        list(bulk.live(cluster, WANTED))


def test_others_are_asked_for_side_by_side_and_come_in_order(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    both = threading.Barrier(2)

    def get(self: Cluster, api_version: str, kind: str, name: str, namespace: str | None) -> dict[str, Any]:
        both.wait(10)
        return {"kind": kind, "metadata": {"name": name}}

    monkeypatch.setattr(Cluster, "get", get)
    live = list(bulk.live(cluster, [config("b"), config("a", "other")]))
    assert [there["metadata"]["name"] for _, there in live if there] == ["b", "a"]


def test_object_no_one_waits_for_is_not_asked(cluster: Cluster, server: ApiServer) -> None:
    many = [config(f"a{number}", f"space-{number}") for number in range(200)]
    one, there = next(bulk.live(cluster, many))
    assert (one, there) == (many[0], None)
    assert len(server.asked) < 100
