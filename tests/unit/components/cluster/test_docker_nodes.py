"""How nodes end: the processes that hear SIGTERM, by the kernel, and nodes that do not end, in memory."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from pathlib import Path
from unittest.mock import Mock

import pytest

from sandbox.components.cluster.docker_nodes import DEAF, FREEZER, STOP_COMMAND, end_nodes
from sandbox.components.cluster.kind import provider as kind_provider
from sandbox.engine import Container, ContainerSpec
from sandbox.engine.containers import BEING_REMOVED
from sandbox.errors import SandboxError
from sandbox.names import Names
from tests.support.fakes import FakeEngine
from tests.support.memory_nodes import Nodes

HANDLES = "signal.signal(signal.SIGTERM, print)"
WAITS = "signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])"
IGNORES = "signal.signal(signal.SIGTERM, signal.SIG_IGN)"
OTHER = "signal.signal(signal.SIGUSR1, print); signal.signal(signal.SIGHUP, print)"
DEAFNESS = f"Could not kill running container 1, cannot remove - tried to kill container, but {DEAF}"


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize(("does", "hears"), [(HANDLES, True), (WAITS, True), (IGNORES, False), (OTHER, False)])
def test_process_handling_or_blocking_the_signal_receives_it(does: str, hears: bool) -> None:
    found = re.search(r"hears='(.*)'", STOP_COMMAND[2])
    assert found
    program = f"import signal, sys; {does}; print('.', flush=True); sys.stdin.read()"
    with subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout
        child.stdout.readline()
        status = Path(f"/proc/{child.pid}/status")
        grep = subprocess.run(["grep", "-sE", found[1], status], stdout=subprocess.DEVNULL)
        child.send_signal(signal.SIGKILL)
    assert (grep.returncode == 0) == hears


@pytest.fixture
def node(engine: FakeEngine, names: Names) -> Container:
    Nodes(engine).add(names, names.node)
    (node,) = kind_provider.nodes(engine, names).all()
    return node


def test_frozen_container_is_thawed(engine: FakeEngine, names: Names, node: Container) -> None:
    engine.cgroups = 1
    helpers: list[list[ContainerSpec]] = []

    def end() -> None:
        helpers.append([box.spec for box in engine.boxes.values() if box.spec.name != names.node])
        if len(helpers) != 2:
            raise SandboxError("kind failed", details=DEAFNESS)

    end_nodes(engine, names, [node], end)
    before, (helper,) = helpers
    assert before == [] and node.id in helper.command and FREEZER in helper.binds and not helper.capabilities
    with pytest.raises(SandboxError, match="kind failed"):
        end_nodes(engine, names, [node], end)
    assert engine.boxes.keys() == {names.node}


def test_node_that_the_engine_removes_already_is_awaited(
    engine: FakeEngine, names: Names, node: Container, monkeypatch: pytest.MonkeyPatch
) -> None:
    removal = Mock(side_effect=[node, node, None])
    monkeypatch.setattr(engine, "container", removal)
    details = f"Error response from daemon: removal of container 1f {BEING_REMOVED}"
    end = Mock(side_effect=[SandboxError("kind failed", details=details), None])
    end_nodes(engine, names, [node], end)
    assert (end.call_count, removal.call_count) == (2, 3)


@pytest.mark.parametrize(("version", "details"), [(2, DEAFNESS), (1, "no space left on device")])
def test_other_failures_are_reported_at_once(
    engine: FakeEngine, names: Names, node: Container, version: int, details: str
) -> None:
    engine.cgroups = version
    end = Mock(side_effect=SandboxError("kind failed", details=details))
    with pytest.raises(SandboxError, match="kind failed"):
        end_nodes(engine, names, [node], end)
    assert end.call_count == 1
