"""Which containers are the cluster's nodes."""

from __future__ import annotations

from sandbox.names import Names
from sandbox.steps.nodes import running
from tests.fakes import FakeEngine
from tests.unit.steps.nodes import Nodes


def test_every_node_that_runs_and_nothing_else_of_kind(engine: FakeEngine, names: Names) -> None:
    nodes = Nodes(engine)
    nodes.add(names, names.node, "control-plane")
    nodes.add(names, f"{names.cluster}-worker")
    nodes.add(names, f"{names.cluster}-worker2").running = False
    nodes.add(names, f"{names.cluster}-external-load-balancer", "external-load-balancer")
    nodes.add(names.home.sandbox("other"), "other-control-plane", "control-plane")
    assert running(engine, names) == (names.node, f"{names.cluster}-worker")


def test_without_labels_the_node_is_known_by_its_name(engine: FakeEngine, names: Names) -> None:
    assert running(engine, names) == (names.node,)
