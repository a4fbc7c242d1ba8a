"""The cluster that kind makes, over an engine in memory and a program that plays kind's part."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from sandbox.bundle.own import UPSTREAM
from sandbox.cluster.kind import Kind
from sandbox.host.process import ToolFailed
from sandbox.host.proxies import Proxies
from sandbox.names import NETWORK, Names
from sandbox.providers import kind
from sandbox.providers.kind import COMPLETE, KindProvider
from sandbox.providers.provider import Standing
from sandbox.providers.proxied import Proxied
from tests.fakes import FakeContainer, FakeEngine
from tests.unit.steps.nodes import Nodes

PROXIES = Proxies(https="http://proxy.example.com:3128")


def test_every_node_that_runs_and_nothing_else_of_kind(engine: FakeEngine, names: Names) -> None:
    nodes = Nodes(engine)
    nodes.add(names, names.node, "control-plane")
    nodes.add(names, f"{names.cluster}-worker")
    nodes.add(names, f"{names.cluster}-worker2").running = False
    nodes.add(names, f"{names.cluster}-external-load-balancer", "external-load-balancer")
    nodes.add(names.home.sandbox("other"), "other-control-plane", "control-plane")
    assert kind.nodes(engine, names).running() == (names.node, f"{names.cluster}-worker")


def test_without_labels_the_node_is_known_by_its_name(engine: FakeEngine, names: Names) -> None:
    assert kind.nodes(engine, names).running() == (names.node,)


class Playing(Kind):
    """A kind whose clusters are containers in memory; `broken` ones come to their node and no further."""

    broken = False

    def create(self, name: str, *, image: str, config: Path, kubeconfig: Path, on_line: Callable[[str], None]) -> None:
        assert config.stat().st_mode & 0o077 == 0
        on_line(" • Preparing nodes 📦  ...")
        self.nodes.add(self.names, self.names.node, "control-plane")
        if self.broken:
            raise ToolFailed("kind failed with status 1")
        on_line(" ✓ Starting control-plane 🕹️")

    def write_kubeconfig(self, name: str, kubeconfig: Path) -> None:
        kubeconfig.write_text(name)

    def delete(self, name: str, *, kubeconfig: Path) -> None:
        del self.nodes.engine.boxes[self.names.node]

    nodes: Nodes
    names: Names


@pytest.fixture
def playing(engine: FakeEngine, names: Names) -> Playing:
    playing = Playing(Path("/kind"), NETWORK)
    object.__setattr__(playing, "nodes", Nodes(engine))
    object.__setattr__(playing, "names", names)
    engine.programs["sh"] = _shell
    return playing


def _shell(box: FakeContainer, argv: Sequence[str]) -> tuple[int, str]:
    """What shows the proxy of the containerd that runs, and what starts it with the one that is now written."""
    if "restart" in argv[2]:
        box.log = "HTTPS_PROXY=http://proxy.example.com:3128\n"
    return 0, box.log


@pytest.fixture
def provider(engine: FakeEngine, names: Names, playing: Playing) -> KindProvider:
    told = Proxied(engine, kind.nodes(engine, names), names, "demo.localhost", Proxies())
    return KindProvider(engine, names, playing, UPSTREAM["node"], None, ("9.9.9.9",), ("corp",), told)


def made(provider: KindProvider) -> list[str]:
    said: list[str] = []
    provider.create(said.append, lambda: said.append("usable"))
    return said


def test_a_cluster_comes_stops_starts_and_goes(provider: KindProvider, names: Names) -> None:
    assert provider.standing() is Standing.ABSENT
    assert made(provider) == ["Preparing nodes 📦", "Starting control-plane 🕹️", "usable"]
    assert provider.standing() is Standing.RUNNING and provider.drift() is None
    assert names.kubeconfig.read_text() == names.cluster
    provider.stop()
    assert provider.standing() is Standing.STOPPED
    provider.start(print)
    assert provider.standing() is Standing.RUNNING
    assert provider.delete() and not provider.delete()
    assert provider.standing() is Standing.ABSENT
    assert not names.folder.exists()


def test_one_that_kind_left_half_made_is_known_and_made_anew(provider: KindProvider, playing: Playing) -> None:
    object.__setattr__(playing, "broken", True)
    with pytest.raises(ToolFailed):
        made(provider)
    assert provider.standing() is Standing.PARTIAL
    object.__setattr__(playing, "broken", False)
    made(provider)
    assert provider.standing() is Standing.RUNNING


def test_other_nameservers_are_written_where_the_node_reads_them(provider: KindProvider, names: Names) -> None:
    made(provider)
    other = replace(provider, nameservers=("1.1.1.1",))
    assert other.drift() == "other nameservers"
    other.start(print)
    assert other.drift() is None
    assert "nameserver 1.1.1.1" in names.resolv_conf.read_text()


def test_another_proxy_restarts_containerd(engine: FakeEngine, provider: KindProvider) -> None:
    made(provider)
    other = replace(provider, proxied=replace(provider.proxied, proxies=PROXIES))
    assert "another proxy" in str(other.drift())
    said: list[str] = []
    other.start(said.append)
    assert said == ["restarting containerd for another proxy"]


def test_the_marks_of_a_cluster_are_where_the_node_keeps_them(engine: FakeEngine, provider: KindProvider) -> None:
    made(provider)
    assert COMPLETE in engine.boxes[provider.names.node].files
