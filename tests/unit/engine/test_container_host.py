"""Where containers find the host, by what engines tell."""

from __future__ import annotations

import pytest

from sandbox.engine import ContainerSpec, Network
from sandbox.engine.container_host import host_address, kept_address, spare_address
from sandbox.errors import SandboxError
from sandbox.names import Names
from tests.support.fakes import NETWORK, FakeEngine, FakeNetwork


@pytest.mark.parametrize(("lower", "place", "kept"), [("172.30.0.0/17", 4, "172.30.255.251"), ("", 4, "")])
def test_an_address_is_kept_outside_of_the_engine_s_range(lower: str, place: int, kept: str) -> None:
    network = Network(name="n", subnet="172.30.0.0/16", labels={}, members=frozenset(), lower=lower)
    assert kept_address(network, place) == kept


@pytest.mark.parametrize(
    ("labelled", "halved", "found"),
    [(True, True, "172.30.255.250"), (True, False, ""), (False, False, "172.30.255.250")],
)
def test_a_spare_address_leaves_the_first_ones_to_nodes(names: Names, labelled: bool, halved: bool, found: str) -> None:
    engine = FakeEngine("image:1")
    engine.create_network(NETWORK, names.labels if labelled else {}, halved=halved)
    assert spare_address(engine, NETWORK) == found
    engine.networks[NETWORK] = FakeNetwork("172.30.0.0/28", names.labels, lower="172.30.0.0/29")
    assert spare_address(engine, NETWORK) == "", "Services have the others"
    with pytest.raises(SandboxError, match="no network sandbox"):
        host_address(FakeEngine(), NETWORK, names.node)


@pytest.mark.parametrize(
    ("shares", "output", "address"),
    [
        (False, "192.168.65.254  STREAM host.docker.internal\n", "192.168.65.254"),
        (False, "", "172.30.0.1"),
        (True, "192.168.65.254  STREAM host.docker.internal\n", "172.30.0.1"),
    ],
)
def test_machine_of_another_network_is_found_by_its_name(names: Names, shares: bool, output: str, address: str) -> None:
    engine = FakeEngine("image:1")
    engine.create_network(NETWORK, {})
    engine.shares, engine.programs["getent"] = shares, lambda *_: (0 if output else 2, output)
    engine.run(ContainerSpec(name=names.node, image="image:1", command=("init",), labels={}, network=NETWORK))
    assert host_address(engine, NETWORK, names.node) == address
