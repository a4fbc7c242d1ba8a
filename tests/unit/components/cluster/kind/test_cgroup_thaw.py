"""Nodes that cannot end are let go, once, where the engine says so; nothing else is tried again."""

from __future__ import annotations

import pytest

from sandbox.bundle.system_images import UPSTREAM
from sandbox.components.cluster.kind.cgroup_thaw import DEAF, FREEZER, ending
from sandbox.engine import Container, ContainerSpec
from sandbox.errors import SandboxError
from sandbox.names import Names
from tests.support.fakes import NETWORK, FakeEngine

DEAFNESS = f"Could not kill running container 1, cannot remove - tried to kill container, but {DEAF}"


@pytest.fixture
def node(engine: FakeEngine, names: Names) -> Container:
    engine.run(ContainerSpec(names.node, UPSTREAM["node"], ("init",), {}, NETWORK))
    found = engine.container(names.node)
    assert found
    return found


class End:
    """An end that fails the first times, and what is on the engine each time."""

    def __init__(self, engine: FakeEngine, *failures: str) -> None:
        self.engine, self.failures, self.found = engine, list(failures), list[dict[str, ContainerSpec]]()

    def __call__(self) -> None:
        self.found.append({name: box.spec for name, box in self.engine.boxes.items()})
        if self.failures:
            raise SandboxError("kind failed", details=self.failures.pop(0))


def test_what_is_held_still_is_let_go(
    engine: FakeEngine, names: Names, node: Container, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "cgroup_version", lambda: 1)
    end = End(engine, DEAFNESS)
    ending(engine, names, [node], end)
    first, second = end.found
    (helper,) = second.keys() - first.keys()
    assert node.id in second[helper].command and FREEZER in second[helper].binds
    assert not second[helper].capabilities
    assert engine.boxes.keys() == {names.node}


def test_one_that_still_does_not_end_is_told_and_nothing_is_left(
    engine: FakeEngine, names: Names, node: Container, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "cgroup_version", lambda: 1)
    with pytest.raises(SandboxError, match="kind failed"):
        ending(engine, names, [node], End(engine, DEAFNESS, DEAFNESS))
    assert engine.boxes.keys() == {names.node}


@pytest.mark.parametrize(("version", "details"), [(2, DEAFNESS), (1, "no space left on device")])
def test_other_failures_are_told_at_once(
    engine: FakeEngine, names: Names, node: Container, monkeypatch: pytest.MonkeyPatch, version: int, details: str
) -> None:
    monkeypatch.setattr(engine, "cgroup_version", lambda: version)
    end = End(engine, details)
    with pytest.raises(SandboxError, match="kind failed"):
        ending(engine, names, [node], end)
    assert len(end.found) == 1
