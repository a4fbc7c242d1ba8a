"""The network that sandboxes share, over an engine in memory."""

from __future__ import annotations

import pytest

from sandbox.errors import SandboxError
from sandbox.host.engine import ContainerSpec
from sandbox.names import LABEL, NETWORK, Home
from sandbox.steps.network import SUBNET6, NetworkStep
from sandbox.steps.step import State
from tests.fakes import FakeEngine, NoWork

IMAGE = "example.com/busybox:1"


@pytest.fixture
def bare() -> FakeEngine:
    return FakeEngine(IMAGE)


def test_it_is_made_with_our_label_and_taken_away(bare: FakeEngine, place: Home) -> None:
    step = NetworkStep(bare, place)
    assert step.check().state is State.ABSENT
    step.apply(NoWork())
    assert step.check().state is State.READY
    assert step.check().detail == bare.networks[NETWORK].subnet
    assert bare.networks[NETWORK].labels == {LABEL: ""}
    assert step.undo()
    assert bare.networks == {}


def test_there_is_nothing_to_take_away_where_there_is_none(bare: FakeEngine, place: Home) -> None:
    assert not NetworkStep(bare, place).undo()


@pytest.mark.fault(23)
def test_a_network_of_somebody_else_is_used_and_stays(bare: FakeEngine, place: Home) -> None:
    """A network of our name without our label → it is used, and never removed."""
    bare.create_network(NETWORK, {})
    assert NetworkStep(bare, place).check().state is State.READY
    assert not NetworkStep(bare, place).undo()
    assert NETWORK in bare.networks


@pytest.mark.parametrize("labels", [{}, {LABEL: "other"}])
def test_it_stays_as_long_as_somebody_is_on_it(bare: FakeEngine, place: Home, labels: dict[str, str]) -> None:
    step = NetworkStep(bare, place)
    step.apply(NoWork())
    bare.run(ContainerSpec(name="guest", image=IMAGE, command=("sleep",), labels=labels, network=NETWORK))
    assert not step.undo()
    assert NETWORK in bare.networks
    bare.remove_container("guest")
    assert step.undo()


def test_it_stays_for_a_sandbox_that_is_stopped(bare: FakeEngine, place: Home) -> None:
    step = NetworkStep(bare, place)
    step.apply(NoWork())
    bare.run(ContainerSpec(name="other", image=IMAGE, command=("sleep",), labels={LABEL: "other"}, network=NETWORK))
    bare.signal("other", "SIGTERM")
    assert not step.undo()
    bare.start("other")
    assert bare.boxes["other"].running


def test_ipv6_comes_with_the_first_that_wants_it_unless_others_are_there(bare: FakeEngine, place: Home) -> None:
    NetworkStep(bare, place).apply(NoWork())
    step = NetworkStep(bare, place, ipv6=True)
    assert (step.check().state, step.check().detail) == (State.DRIFTED, "it has no IPv6")
    bare.run(ContainerSpec(name="other", image=IMAGE, command=("sleep",), labels={LABEL: "other"}, network=NETWORK))
    with pytest.raises(SandboxError, match="has no IPv6") as caught:
        step.apply(NoWork())
    assert caught.value.details == "by other" and "sandbox down" in caught.value.fix
    bare.remove_container("other")
    step.apply(NoWork())
    assert step.check().state is State.READY and SUBNET6 in step.check().detail
    assert NetworkStep(bare, place).check().state is State.READY
