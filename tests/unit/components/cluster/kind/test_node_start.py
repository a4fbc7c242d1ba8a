"""What a start of nodes changes: the addresses of etcd's members, and statuses from before it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any
from unittest.mock import Mock

import pytest

from sandbox.components.cluster.kind.node_start import name_peers, old_news
from sandbox.errors import SandboxError
from sandbox.kube.api import ClusterError
from sandbox.names import Names
from tests.support.fakes import FakeContainer, FakeEngine
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


READY_POD = pod(running(10), owner="set", ready=True)


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
        ([READY_POD, workload("ReplicaSet", "set", 1, "web"), workload("Deployment", "web", 2)], "Deployment shop/web"),
    ],
)
def test_statuses_from_before_the_start_are_found(objects: list[dict[str, Any]], said: str | None) -> None:
    def listed(api_version: str, kind: str) -> list[dict[str, Any]]:
        if not objects:
            raise ClusterError("forbidden")
        return [one for one in objects if one["kind"] == kind]

    cluster = Mock(list=listed)
    assert old_news(cluster, {"node": BEGUN}) == said
    assert old_news(cluster, {}) is None


@pytest.fixture
def members(engine: FakeEngine, names: Names) -> dict[str, list[str]]:
    """The peer URLs of etcd's members by their ids, which its JSON API lists and updates."""
    Nodes(engine).add(names, names.node, "control-plane")
    members = {f"{names.node}{number}": [f"https://172.18.0.{number}:2380"] for number in (2, 3)}

    def sh(box: FakeContainer, argv: Sequence[str]) -> tuple[int, str]:
        if argv[-2] == "update":
            body = json.loads(argv[-1])
            assert members[body["ID"]] != body["peerURLs"], "updated once"
            members[body["ID"]] = body["peerURLs"]
        return 0, json.dumps({"members": [{"ID": id, "name": id, "peerURLs": urls} for id, urls in members.items()]})

    engine.programs["sh"] = sh
    return members


def test_etcd_peers_are_named_once(engine: FakeEngine, names: Names, members: dict[str, list[str]]) -> None:
    name_peers(engine, names.node)
    name_peers(engine, names.node)
    assert members == {name: [f"https://{name}:2380"] for name in members}


@pytest.mark.parametrize("said", ["", "W1127 slow\n{}", "{}", '{"members": [{"ID": "1", "peerURLs": []}]}', "[]"])
def test_unreadable_list_of_etcd_members_is_an_error(engine: FakeEngine, names: Names, said: str) -> None:
    Nodes(engine).add(names, names.node, "control-plane")
    engine.programs["sh"] = lambda box, argv: (0, said)
    with pytest.raises(SandboxError, match="are not known"):
        name_peers(engine, names.node)
