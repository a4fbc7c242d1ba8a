"""A cluster that is started, and its context in the user's kubeconfig, by what the file says afterwards."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast
from unittest.mock import Mock

import pytest
import yaml

from sandbox.components.cluster import steps
from sandbox.components.cluster.kind.command import Kind
from sandbox.components.cluster.kind.provider import KindProvider
from sandbox.components.cluster.kind.provider import nodes as kind_nodes
from sandbox.components.cluster.steps import ClusterStep, ContextStep, NodeImagesStep
from sandbox.config import schema
from sandbox.engine.labelled import COMPLETE
from sandbox.errors import SandboxError
from sandbox.names import Names
from sandbox.provider import Nodes, Provider
from sandbox.step import State, Status
from sandbox.system.wait import WaitTimeout
from tests.support import memory_nodes
from tests.support.api_server import ApiServer, kubeconfig
from tests.support.fakes import NETWORK, FakeEngine, NoWork, applied
from tests.support.memory_nodes import Nodes as InMemory


@pytest.fixture
def step(names: Names) -> ContextStep:
    names.folder.mkdir(parents=True)
    kubeconfig(names.kubeconfig, 6443)
    return ContextStep(names)


def content(names: Names) -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(names.home.kubeconfig.read_text())
    return loaded


def test_context_becomes_current_and_users_own_stay(names: Names, step: ContextStep) -> None:
    kubeconfig(names.home.kubeconfig, 1)
    before = content(names)
    assert step.check().state is State.ABSENT
    assert applied(step).state is State.READY
    assert content(names)["current-context"] == "sandbox-demo"
    kubeconfig(names.kubeconfig, 7443)
    assert step.check().state is State.ABSENT, "it is that of an earlier cluster"
    assert applied(step).state is State.READY
    assert [one["name"] for one in content(names)["contexts"]] == ["x", "sandbox-demo"]
    assert step.undo()
    assert {key: content(names)[key] for key in before} == before
    assert step.check().state is State.ABSENT


@dataclass
class Loading:
    """A provider whose nodes have the images that it loads, unless they are `full`."""

    nodes: Nodes
    images: set[str] = field(default_factory=set)
    loaded: list[str] = field(default_factory=list)
    full: bool = False

    def load(self, archive: Path) -> None:
        self.loaded.append(archive.name)
        if not self.full:
            self.images.add(f"x/{archive.name}:1")


def test_nodes_are_given_the_system_images_they_lack(names: Names, engine: FakeEngine) -> None:
    InMemory(engine).add(names, names.node, "control-plane")
    images = {name: f"x/{name}:1" for name in ("traefik", "busybox")}
    provider = Loading(kind_nodes(engine, names))
    engine.programs["crictl"] = lambda box, argv: (0 if argv[-1] in provider.images else 1, "")
    step = NodeImagesStep(cast("Provider", provider), images, lambda name: nullcontext(Path(name)))
    assert step.check() == Status(State.ABSENT, "traefik, busybox")
    provider.images.add("x/traefik:1")
    assert step.check() == Status(State.DRIFTED, "busybox")
    step.apply(NoWork())
    assert (step.check().state, provider.loaded) == (State.READY, ["busybox"])
    provider.images.clear()
    provider.full = True
    with pytest.raises(SandboxError, match="the nodes did not take x/traefik:1, x/busybox:1"):
        step.apply(NoWork())


@pytest.mark.fault(48)
def test_a_corrupt_kubeconfig_is_left_alone_and_ours_named(names: Names, step: ContextStep) -> None:
    """A kubeconfig that is none → `up` works, leaves it as it is and says where its own one is."""
    names.home.kubeconfig.write_text("clusters: [")
    status = step.check()
    assert status.state is State.READY
    assert "left alone" in status.detail and f"export KUBECONFIG={names.kubeconfig}" in status.detail
    assert not step.undo()
    assert names.home.kubeconfig.read_text() == "clusters: ["


@pytest.mark.fault(50)
def test_context_is_removed_from_whichever_listed_file_has_it(names: Names, tmp_path: Path, step: ContextStep) -> None:
    """KUBECONFIG=a:b, and `a` comes to be after `up` wrote to `b` → `down` takes our context out of both."""
    first, second = tmp_path / "a", tmp_path / "b"
    home = replace(names.home, kubeconfig=second, other_kubeconfigs=(first,))
    replace(step, names=replace(names, home=home)).apply(NoWork())
    kubeconfig(first, 1)
    before = first.read_text()
    home = replace(names.home, kubeconfig=first, other_kubeconfigs=(second,))
    later = replace(step, names=replace(names, home=home))
    assert later.check().state is State.ABSENT
    assert later.undo()
    assert first.read_text() == before
    assert yaml.safe_load(second.read_text())["contexts"] == []


@pytest.fixture
def cluster_step(engine: FakeEngine, names: Names, server: ApiServer, monkeypatch: pytest.MonkeyPatch) -> ClusterStep:
    """The step of a cluster that runs as its spec says, and whose API server answers."""
    InMemory(engine).add(names, names.node, "control-plane")
    engine.write_files(names.node, {COMPLETE: b"{}"})
    monkeypatch.setattr(KindProvider, "start", Mock(return_value=[]))
    for method in ("stale", "drift", "await_news"):
        monkeypatch.setattr(KindProvider, method, Mock(return_value=None))
    return ClusterStep(memory_nodes.provider(engine, names, Kind(Path("kind"), NETWORK)), names, "v1")


def test_api_server_that_never_answers_is_reported_with_a_fix(
    cluster_step: ClusterStep, names: Names, monkeypatch: pytest.MonkeyPatch
) -> None:
    kubeconfig(names.kubeconfig, 6443)
    monkeypatch.setattr(steps, "API_TIMEOUT", 0.0)
    with pytest.raises(WaitTimeout, match="the API server: not ready") as caught:
        cluster_step.apply(NoWork())
    assert caught.value.fix == "sandbox stop demo, then sandbox start demo"


def test_cluster_with_a_node_that_is_not_ready_is_repaired(
    cluster_step: ClusterStep, names: Names, server: ApiServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    ready = {"type": "Ready", "status": "Unknown", "message": "Kubelet stopped posting node status."}
    node = {"kind": "Node", "metadata": {"name": names.node}, "status": {"conditions": [ready]}}
    server.objects[f"/api/v1/nodes/{names.node}"] = node
    monkeypatch.setattr(KindProvider, "start", lambda self, say: ready.update(status="True"))
    message = f"{names.node} is not ready: Kubelet stopped posting node status."
    assert cluster_step.check() == Status(State.DRIFTED, message)
    assert applied(cluster_step).state is State.READY


@pytest.mark.parametrize("damaged", ["", "clusters: [", "\0", "[]", "apiVersion: v1\nkind: Config\n"])
def test_damaged_kubeconfig_of_its_own_is_written_again(
    cluster_step: ClusterStep, names: Names, server: ApiServer, monkeypatch: pytest.MonkeyPatch, damaged: str
) -> None:
    names.kubeconfig.write_text(damaged)
    port = server.server_port
    monkeypatch.setattr(KindProvider, "write_kubeconfig", lambda self: kubeconfig(names.kubeconfig, port) and None)
    assert cluster_step.apply(NoWork()).state is State.READY
    assert str(port) in names.kubeconfig.read_text()


def test_a_control_plane_that_is_lost_is_named(engine: FakeEngine, names: Names, cluster_step: ClusterStep) -> None:
    second = f"{names.cluster}-control-plane2"
    InMemory(engine).add(names, second, "control-plane")
    shape = schema.Cluster(nodes=schema.Nodes(control_plane=2))
    step = replace(cluster_step, provider=replace(cast("KindProvider", cluster_step.provider), shape=shape))
    assert step.check().detail == f"{names.node}, {second}"
    engine.remove_container(second)
    assert step.check() == Status(State.READY, f"{names.node}; without {second}, which is gone")
