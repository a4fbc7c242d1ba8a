"""A kind cluster made by hand and the registry of kind's script are recognised, and nothing else is."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sandbox.app.project import existing_clusters
from sandbox.app.project.existing_clusters import UserCluster
from sandbox.engine import Bind, ContainerSpec
from sandbox.names import Home
from tests.support.api_server import ApiServer, kubeconfig, serving
from tests.support.fakes import FakeEngine

IMAGE = "node:1"


@pytest.fixture
def server() -> Iterator[ApiServer]:
    with serving() as server:
        yield server


@pytest.fixture
def place(tmp_path: Path, server: ApiServer) -> Home:
    kubeconfig(tmp_path / "kubeconfig", server.server_port, context="kind-kind")
    return Home(tmp_path / "state", tmp_path / "cache", tmp_path / "kubeconfig")


@pytest.fixture
def engine() -> FakeEngine:
    engine = FakeEngine(IMAGE)
    engine.create_network("kind", {})
    node(engine, "kind")
    return engine


def node(engine: FakeEngine, cluster: str, role: str = "control-plane") -> None:
    labels = {existing_clusters.CLUSTER: cluster, existing_clusters.ROLE: role}
    engine.run(ContainerSpec(name=f"{cluster}-{role}", image=IMAGE, command=(), labels=labels, network="kind"))


def announce(server: ApiServer, text: str) -> None:
    place = f"/api/v1/namespaces/kube-public/configmaps/{existing_clusters.HOSTING}"
    metadata: dict[str, Any] = {"name": existing_clusters.HOSTING, "namespace": "kube-public"}
    server.objects[place] = {"kind": "ConfigMap", "metadata": metadata, "data": {"localRegistryHosting.v1": text}}


def test_manual_cluster_is_found_with_its_announced_registry(
    engine: FakeEngine, place: Home, server: ApiServer
) -> None:
    announce(server, 'host: "localhost:5001"\nhelp: "x"\n')
    (found,) = existing_clusters.find(engine, place)
    assert found == UserCluster("kind-kind", "localhost:5001")
    assert found.spec == {
        "cluster": {"provider": "existing", "context": "kind-kind"},
        "registry": {"external": "localhost:5001"},
    }


def test_unannounced_registry_is_found_by_name(engine: FakeEngine, place: Home) -> None:
    publish = {5000: (Bind("127.0.0.1", 5007),)}
    engine.run(ContainerSpec(name="kind-registry", image=IMAGE, command=(), labels={}, network="kind", publish=publish))
    assert tuple(existing_clusters.find(engine, place)) == (UserCluster("kind-kind", "localhost:5007"),)


@pytest.mark.parametrize("text", ["host: [", "help: x", "just words"])
def test_a_configmap_that_says_nothing_of_use_is_no_error(
    engine: FakeEngine, place: Home, server: ApiServer, text: str
) -> None:
    announce(server, text)
    assert tuple(existing_clusters.find(engine, place)) == (UserCluster("kind-kind", None),)


def test_sandbox_clusters_contextless_and_workers_are_not_listed(engine: FakeEngine, place: Home) -> None:
    engine.remove_container("kind-control-plane")
    names = place.sandbox("demo")
    names.folder.mkdir(parents=True)
    node(engine, names.cluster)
    node(engine, "without-a-context")
    node(engine, "kind", role="worker")
    assert tuple(existing_clusters.find(engine, place)) == ()
