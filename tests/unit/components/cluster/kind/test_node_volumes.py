"""Nodes that others removed: it is known that they were there, and what is left of them is removed by their owner."""

from __future__ import annotations

from pathlib import Path

import pytest

from sandbox.components.cluster.kind.command import Kind
from sandbox.components.cluster.kind.node_volumes import NodeVolumes
from sandbox.components.cluster.kind.provider import KindProvider, nodes
from sandbox.components.cluster.steps import ClusterStep
from sandbox.engine import EngineError
from sandbox.names import Names
from sandbox.step import State, Status
from tests.support import memory_nodes
from tests.support.fakes import NETWORK, FakeEngine
from tests.support.memory_nodes import Nodes as InMemory


@pytest.fixture
def recorded(engine: FakeEngine, names: Names) -> str:
    box = InMemory(engine).add(names, names.node, "control-plane")
    box.spec.volumes["named"] = "/data"  # type: ignore[index]
    engine.volumes["another"] = {}
    NodeVolumes(engine, names).record(nodes(engine, names).all())
    (volume,) = {*box.spec.volumes} - {"named"}
    return volume


@pytest.fixture
def provider(engine: FakeEngine, names: Names) -> KindProvider:
    return memory_nodes.provider(engine, names, Kind(Path("/kind"), NETWORK))


def test_nodes_removed_by_others_are_reported_with_their_volumes(
    engine: FakeEngine, names: Names, provider: KindProvider, recorded: str
) -> None:
    step = ClusterStep(provider, names, "v1")
    assert step.lost() is None, "it is there"
    engine.remove_container(names.node)
    assert step.check() == Status(State.ABSENT, "its nodes were removed, not by sandbox")
    assert step.lost() == f"what is left of it is deleted: volume {recorded}"
    engine.remove_volume(recorded)
    assert step.lost() == "nothing is left of it"


def test_removal_takes_recorded_unnamed_volumes_only(
    engine: FakeEngine, names: Names, provider: KindProvider, recorded: str
) -> None:
    engine.remove_container(names.node)
    provider.delete()
    assert {"named", "another"} & engine.volumes.keys() == {"another"} and recorded not in engine.volumes
    assert not names.node_volumes.exists() and provider.lost() is None


def test_volume_that_a_container_uses_stays_recorded(
    engine: FakeEngine, names: Names, provider: KindProvider, recorded: str
) -> None:
    rescue = InMemory(engine).add(names.home.sandbox("other"), "rescue")
    rescue.spec.volumes[recorded] = "/old"  # type: ignore[index]
    engine.remove_container(names.node)
    with pytest.raises(EngineError, match="removing volume"):
        provider.delete()
    assert provider.lost() is None, "its removal began"
    engine.remove_container("rescue")
    provider.delete()
    assert recorded not in engine.volumes


@pytest.mark.parametrize("damage", ["", "{}", "[]", '{"volumes": [1], "is_ending": false}'])
def test_damaged_record_counts_as_missing(engine: FakeEngine, names: Names, recorded: str, damage: str) -> None:
    names.node_volumes.write_text(damage)
    engine.remove_container(names.node)
    assert NodeVolumes(engine, names).lost() is None
    NodeVolumes(engine, names).remove()
    assert recorded in engine.volumes
