"""The order in which nodes start, in an engine that gives each the lowest free address."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from sandbox.components.cluster.kind.start_order import FLAGS, by_address
from sandbox.names import Names
from tests.support.fakes import NETWORK, FakeEngine
from tests.support.memory_nodes import Nodes


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
