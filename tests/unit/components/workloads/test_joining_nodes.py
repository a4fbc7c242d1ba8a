"""Pods are made when all nodes have joined, and a lost one delays none."""

from __future__ import annotations

from typing import Any

from sandbox.components.workloads.joining_nodes import NOT_READY, await_nodes
from sandbox.kube.api import Cluster
from sandbox.names import Names
from tests.support.api_server import ApiServer

NODES = ("demo-control-plane", "demo-worker", "demo-worker2")


def node(name: str, *taints: str) -> dict[str, Any]:
    return {"metadata": {"name": name}, "spec": {"taints": [{"key": key, "effect": "NoSchedule"} for key in taints]}}


def put(server: ApiServer, *nodes: dict[str, Any]) -> None:
    server.kinds["/api/v1"]["Node"] = ("nodes", False)
    server.objects |= {f"/api/v1/nodes/{one['metadata']['name']}": one for one in nodes}


def test_nodes_that_join_are_awaited(names: Names, server: ApiServer) -> None:
    put(server, node(NODES[0], "node-role.kubernetes.io/control-plane"))
    joining = [(node(NODES[1]), node(NODES[2], NOT_READY)), (node(NODES[2]),)]
    said: list[str] = []

    def say(line: str) -> None:
        said.append(line)
        put(server, *joining.pop(0))

    await_nodes(Cluster(names.kubeconfig), NODES, say)
    assert said == ["waiting for demo-worker, demo-worker2", "waiting for demo-worker2"] and not joining


def test_lost_node_and_node_alone_are_not_awaited(names: Names, server: ApiServer) -> None:
    said: list[str] = []
    await_nodes(Cluster(names.kubeconfig), NODES[:1], said.append)
    assert not server.asked
    put(server, node(NODES[0]), node(NODES[1]), node(NODES[2], "node.kubernetes.io/unreachable"))
    await_nodes(Cluster(names.kubeconfig), NODES, said.append)
    assert said == []
