"""The network that sandboxes share, over an engine in memory."""

from __future__ import annotations

import pytest

from sandbox.errors import SandboxError
from sandbox.host.engine import ContainerSpec
from sandbox.names import LABEL, OWNER, Names
from sandbox.steps.network import NetworkStep, subnet6
from sandbox.steps.step import State
from tests.fakes import NETWORK, FakeEngine, NoWork

IMAGE = "example.com/busybox:1"


@pytest.fixture
def bare() -> FakeEngine:
    return FakeEngine(IMAGE)


def test_it_is_made_with_our_label_and_taken_away(bare: FakeEngine, names: Names) -> None:
    step = NetworkStep(bare, names)
    assert step.check().state is State.ABSENT
    step.apply(NoWork())
    assert step.check().state is State.READY
    assert step.check().detail == bare.networks[NETWORK].subnet
    assert bare.networks[NETWORK].labels == {LABEL: "demo", OWNER: names.home.owner}
    assert step.undo()
    assert bare.networks == {}


def test_there_is_nothing_to_take_away_where_there_is_none(bare: FakeEngine, names: Names) -> None:
    assert not NetworkStep(bare, names).undo()


@pytest.mark.fault(23)
def test_a_network_of_somebody_else_is_used_and_stays(bare: FakeEngine, names: Names) -> None:
    """A network of our name without our label → it is used, and never removed."""
    bare.create_network(NETWORK, {})
    assert NetworkStep(bare, names).check().state is State.READY
    assert not NetworkStep(bare, names).undo()
    assert NETWORK in bare.networks


@pytest.mark.parametrize("labels", [{}, {LABEL: "other"}])
def test_it_stays_as_long_as_somebody_is_on_it(bare: FakeEngine, names: Names, labels: dict[str, str]) -> None:
    step = NetworkStep(bare, names)
    step.apply(NoWork())
    bare.run(ContainerSpec(name="guest", image=IMAGE, command=("sleep",), labels=labels, network=NETWORK))
    assert not step.undo()
    assert NETWORK in bare.networks
    bare.remove_container("guest")
    assert step.undo()


def test_it_stays_for_a_sandbox_that_is_stopped(bare: FakeEngine, names: Names) -> None:
    step = NetworkStep(bare, names)
    step.apply(NoWork())
    bare.run(ContainerSpec(name="other", image=IMAGE, command=("sleep",), labels=names.labels, network=NETWORK))
    bare.signal("other", "SIGTERM")
    assert not step.undo()
    bare.start("other")
    assert bare.boxes["other"].running


def test_ipv6_comes_with_the_first_that_wants_it_unless_others_are_there(bare: FakeEngine, names: Names) -> None:
    NetworkStep(bare, names).apply(NoWork())
    step = NetworkStep(bare, names, ipv6=True)
    assert (step.check().state, step.check().detail) == (State.DRIFTED, "it has no IPv6")
    bare.run(ContainerSpec(name="other", image=IMAGE, command=("sleep",), labels=names.labels, network=NETWORK))
    with pytest.raises(SandboxError, match="has no IPv6") as caught:
        step.apply(NoWork())
    assert caught.value.details == "by other" and "sandbox down" in caught.value.fix
    bare.remove_container("other")
    step.apply(NoWork())
    assert step.check().state is State.READY and subnet6(NETWORK) in step.check().detail
    assert NetworkStep(bare, names).check().state is State.READY
