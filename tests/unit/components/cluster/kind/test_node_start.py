"""Nodes start in an order in which they keep their addresses, and statuses from before the start are found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, cast

import pytest

from sandbox.components.cluster.kind.node_start import FLAGS, by_address, old_news
from sandbox.kube.api import Cluster, ClusterError
from sandbox.names import Names
from tests.support.fakes import NETWORK, FakeEngine
from tests.support.memory_nodes import Nodes

BEGUN = datetime(2026, 11, 27, 14, 0, 10, tzinfo=UTC)
WAITING = {"waiting": {"reason": "ContainerCreating"}}


def owned(name: str, owner: str) -> dict[str, Any]:
    references = [{"uid": owner, "controller": True}] if owner else []
    return {"name": name, "namespace": "shop", "uid": name, "ownerReferences": references}


def pod(
    *states: dict[str, Any], node: str = "node", owner: str = "", ready: bool = False, placed: int | None = None
) -> dict[str, Any]:
    conditions = [{"type": "Ready", "status": str(ready)}]
    if placed is not None:
        since = f"2026-11-27T14:00:{placed:02}Z"
        conditions.append({"type": "PodReadyToStartContainers", "status": "True", "lastTransitionTime": since})
    status = {"containerStatuses": [{"state": one} for one in states], "conditions": conditions}
    return {"kind": "Pod", "metadata": owned("web", owner), "spec": {"nodeName": node}, "status": status}


def workload(kind: str, name: str, ready: int, owner: str = "") -> dict[str, Any]:
    key = "numberReady" if kind == "DaemonSet" else "readyReplicas"
    return {"kind": kind, "metadata": owned(name, owner), "status": {key: ready}}


def running(second: int) -> dict[str, Any]:
    return {"running": {"startedAt": f"2026-11-27T14:00:{second:02}Z"}}


class Objects:
    """A cluster with these objects; without any it refuses to tell."""

    def __init__(self, objects: Sequence[dict[str, Any]]) -> None:
        self.objects = objects

    def list(self, api_version: str, kind: str) -> list[dict[str, Any]]:
        if not self.objects:
            raise ClusterError("forbidden")
        return [one for one in self.objects if one["kind"] == kind]


@pytest.mark.parametrize(
    ("objects", "said"),
    [
        ([pod(running(10), WAITING)], None),
        ([pod(WAITING), pod(WAITING, running(9))], "Pod shop/web"),
        ([pod(running(9), node="other"), pod({"terminated": {}})], None),
        ([pod({"terminated": {}}, placed=9)], "Pod shop/web"),
        ([pod({"terminated": {}}, placed=10), pod({"terminated": {}}, node="other", placed=9)], None),
        ([{**pod(running(9)), "metadata": {"annotations": {"kubernetes.io/config.mirror": "1"}}}], None),
        ([], "forbidden"),
        ([pod(running(10), owner="traefik"), workload("DaemonSet", "traefik", 1)], "DaemonSet shop/traefik"),
        ([pod(running(10), owner="traefik", ready=True), workload("DaemonSet", "traefik", 1)], None),
        (
            [
                pod(running(10), owner="set", ready=True),
                workload("ReplicaSet", "set", 1, owner="web"),
                workload("Deployment", "web", 2),
            ],
            "Deployment shop/web",
        ),
    ],
)
def test_statuses_from_before_the_start_are_found(objects: list[dict[str, Any]], said: str | None) -> None:
    cluster = cast("Cluster", Objects(objects))
    assert old_news(cluster, {"node": BEGUN}) == said
    assert old_news(cluster, {}) is None


def addresses(engine: FakeEngine) -> Mapping[str, str]:
    return {name: box.address for name, box in engine.boxes.items()}


def stop(engine: FakeEngine) -> None:
    """Stop all containers; nodes keep a file with the address that they had."""
    for box in engine.boxes.values():
        if "balancer" not in box.spec.name:
            said = f'KUBELET_KUBEADM_ARGS="--node-ip={box.address},fd00::2 --provider-id=kind://docker/demo/x"\n'
            box.files[FLAGS] = said.encode()
        box.running = False


PLANES = [("balancer", "b", "a"), ("b", "balancer", "a"), ("b", "a", "balancer")]


@pytest.mark.parametrize("made", [("b", "node", "a"), *PLANES])
def test_nodes_that_start_in_this_order_keep_their_addresses(
    engine: FakeEngine, names: Names, made: tuple[str, ...]
) -> None:
    nodes = Nodes(engine)
    for name in made:
        nodes.add(names, name)
    before = addresses(engine)
    stop(engine)
    for name in by_address(engine, NETWORK, sorted(made)):
        engine.start(name)
    assert addresses(engine) == before


@pytest.mark.parametrize("said", [b"", b"--node-ip=999.1", b"--node-ip=", b"\xff"])
def test_node_without_a_recorded_address_starts(engine: FakeEngine, names: Names, said: bytes) -> None:
    nodes = Nodes(engine)
    nodes.add(names, "node")
    nodes.add(names, "worker")
    stop(engine)
    engine.boxes["worker"].files[FLAGS] = said
    assert sorted(by_address(engine, NETWORK, ("node", "worker"))) == ["node", "worker"]
