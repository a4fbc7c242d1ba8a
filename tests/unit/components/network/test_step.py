"""The network that sandboxes share, over an engine in memory."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from sandbox.cli import output, prompts, up
from sandbox.cli.options import Call
from sandbox.components.network.step import EXHAUSTED, NetworkStep, subnet6
from sandbox.engine import ContainerSpec, EngineError, Network
from sandbox.errors import SandboxError
from sandbox.names import LABEL, OWNER, Home, Names
from sandbox.plan import lifecycle
from sandbox.report import Reporter
from sandbox.step import State, Status
from tests.support.fakes import NETWORK, FakeEngine, NoWork, applied

IMAGE = "example.com/busybox:1"


@pytest.fixture
def bare() -> FakeEngine:
    return FakeEngine(IMAGE)


def test_network_is_created_labelled_and_removed(bare: FakeEngine, names: Names) -> None:
    step = NetworkStep(bare, names)
    assert step.check().state is State.ABSENT and not step.undo()
    assert applied(step) == Status(State.READY, bare.networks[NETWORK].subnet)
    assert bare.networks[NETWORK].labels == {LABEL: "demo", OWNER: names.home.owner}
    assert bare.networks[NETWORK].lower
    assert step.undo()
    assert bare.networks == {}


@pytest.mark.fault(23)
def test_a_network_of_another_users_is_used_and_stays(bare: FakeEngine, names: Names) -> None:
    """A network of our name without our label → it is used, and never removed."""
    bare.create_network(NETWORK, {})
    assert NetworkStep(bare, names).check().state is State.READY
    assert not NetworkStep(bare, names).undo()
    assert NETWORK in bare.networks


@pytest.mark.parametrize("ours", [False, True])
def test_network_stays_while_containers_use_it(bare: FakeEngine, names: Names, ours: bool) -> None:
    step, labels = NetworkStep(bare, names), names.labels if ours else {}
    step.apply(NoWork())
    bare.run(ContainerSpec(name="guest", image=IMAGE, command=("sleep",), labels=labels, network=NETWORK))
    assert not step.undo()
    if ours:
        bare.signal("guest", "SIGTERM")
        assert not step.undo(), "a stopped container of the sandbox starts again"
    assert NETWORK in bare.networks
    bare.remove_container("guest")
    assert step.undo()


def test_ipv6_is_enabled_unless_the_network_is_in_use(
    bare: FakeEngine, names: Names, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(output, "has_terminal", lambda: True)
    NetworkStep(bare, names).apply(NoWork())
    step = NetworkStep(bare, names, ipv6=True)
    assert step.check() == Status(State.DRIFTED, "it has no IPv6")
    bare.run(ContainerSpec(name="other", image=IMAGE, command=("sleep",), labels=names.labels, network=NETWORK))
    found = step.check()
    assert (found.state, found.loses) == (State.STALE, "everything in the cluster")
    with pytest.raises(SandboxError, match="cannot be updated in place") as refused:
        lifecycle.up([step], Reporter())
    assert refused.value.fix == "sandbox down, then sandbox up   (or put the spec back as it was)"
    assert not up._show(Call(), "demo", [], ()) and up._show(Call(), "demo", [(step, found)], ())
    assert "deletes: everything in the cluster; only with sandbox down" in capsys.readouterr().out
    assert prompts.Asking().recreate([(step, found)], ()) == ()
    with pytest.raises(SandboxError, match="has no IPv6") as caught:
        step.apply(NoWork())
    assert caught.value.details == "by other" and "sandbox down" in caught.value.fix
    bare.remove_container("other")
    assert applied(step).state is State.READY and subnet6(NETWORK) in step.check().detail
    assert NetworkStep(bare, names).check().state is State.READY


@pytest.mark.fault(85)
@pytest.mark.parametrize("said", EXHAUSTED)
def test_an_engine_without_a_range_left_says_what_helps(names: Names, said: str) -> None:
    """The engine's address pools are used up → named, with `docker network prune` and default-address-pools."""

    class Exhausted(FakeEngine):
        def create_network(self, name: str, labels: Mapping[str, str], **more: Any) -> None:
            raise EngineError(f"making network {name} failed", details=f"{said} have been fully subnetted")

    with pytest.raises(SandboxError) as caught:
        NetworkStep(Exhausted(), names).apply(NoWork())
    assert caught.value.id == "no-subnet" and "docker network prune" in caught.value.fix


class Racing(FakeEngine):
    """An engine on which another user creates a network of the same name just before this one does."""

    def __init__(self, their_labels: Mapping[str, str]) -> None:
        super().__init__()
        self.their_labels = their_labels
        self.spare: Network | None = None

    def create_network(self, name: str, labels: Mapping[str, str], **more: Any) -> None:
        super().create_network(name, self.their_labels)
        self.spare = Network(name=name, subnet="172.99.0.0/16", labels=dict(labels), members=frozenset(), id="spare")

    def spare_networks(self, name: str) -> tuple[Network, ...]:
        return (self.spare,) if self.spare else ()

    def remove_network(self, name: str) -> None:
        assert name == "spare"
        self.spare = None


@pytest.mark.security(22)
@pytest.mark.parametrize("killed", [False, True])
def test_of_two_concurrent_users_the_first_gets_the_name(names: Names, tmp_path: Path, killed: bool) -> None:
    """Another user makes a network of the name at the same moment → the later one gives way and says so."""
    engine = Racing(Home(tmp_path / "theirs", tmp_path, tmp_path).sandbox("demo").labels)
    step = NetworkStep(engine, names)
    if killed:
        engine.create_network(NETWORK, names.labels)
        assert step.check() == Status(State.DRIFTED, "there are several of this name")
    with pytest.raises(SandboxError) as caught:
        step.apply(NoWork())
    assert caught.value.id == "name-taken" and engine.spare is None
    del engine.networks[NETWORK]
    engine.create_network(NETWORK, names.labels)
    assert not step.undo()
    assert engine.spare is None and NETWORK in engine.networks
