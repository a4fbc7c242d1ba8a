"""Where containers find the host, by what engines tell."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sandbox.engine import ContainerSpec, Network
from sandbox.engine.connection import Facts
from sandbox.engine.container_host import gateway, host_address
from sandbox.errors import SandboxError
from tests.support.fakes import NETWORK, FakeEngine


class Desktop(FakeEngine):
    """An engine in a virtual machine."""

    def facts(self) -> Facts:
        return replace(super().facts(), system="Docker Desktop")


def test_the_gateway_is_taken_or_the_first_address() -> None:
    assert (
        gateway(Network(name="n", subnet="172.30.0.0/16", labels={}, members=frozenset(), gateway="172.30.0.254"))
        == "172.30.0.254"
    )
    assert gateway(Network(name="n", subnet="172.30.0.0/16", labels={}, members=frozenset())) == "172.30.0.1"


def test_without_the_network_there_is_none() -> None:
    with pytest.raises(SandboxError, match="no network sandbox"):
        host_address(FakeEngine(), NETWORK, "node")


@pytest.mark.parametrize(
    ("answer", "found"), [((0, "192.168.65.254 STREAM host\n"), "192.168.65.254"), ((2, ""), None)]
)
def test_an_engine_in_a_virtual_machine_is_asked_for_the_host(answer: tuple[int, str], found: str | None) -> None:
    engine = Desktop("image:1")
    engine.create_network(NETWORK, {})
    engine.run(ContainerSpec(name="node", image="image:1", command=("x",), labels={}, network=NETWORK))
    engine.programs["getent"] = lambda box, argv: answer
    assert host_address(engine, NETWORK, "node") == (found or "172.30.0.1")
