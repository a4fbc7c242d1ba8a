"""Networks that the engine halves, and where containers find the host."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from ipaddress import IPv4Network
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from docker.errors import APIError

from sandbox.engine import ContainerSpec, Engine
from sandbox.engine.container_host import host_address, spare_address
from sandbox.errors import SandboxError
from sandbox.names import Names
from sandbox.system import host_network
from tests.support.fakes import NETWORK, FakeEngine, FakeNetwork

OWN = "172.30.0.0/16"
ROUTES = """\
Iface Destination Gateway Flags RefCnt Use Metric Mask MTU Window IRTT
eth0 00000000 010200C0 0003 0 0 0 00000000 0 0 0
br-1 000011AC 00000000 0001 0 0 0 0000FFFF 0 0 0
sb0 0000D50A 00000000 0001 0 0 0 FCFFFFFF 0 0 0
"""


class Fake:
    """An engine that chooses the range `OWN`, and refuses it as often as `taken` says when it is asked for."""

    def __init__(self, taken: int) -> None:
        self.taken = taken
        self.made: list[Sequence[Mapping[str, str]]] = []

    def inspect_network(self, _: str) -> Any:
        return {"IPAM": {"Config": [{"Subnet": OWN}, {"Subnet": "fd00::/64"}]}}

    def remove_network(self, _: str) -> None:
        pass

    def create_network(self, name: str, *, ipam: Any, **_: object) -> Mapping[str, str]:
        ranges = ipam["Config"] if ipam else []
        self.made.append(ranges)
        if ranges and self.taken:
            self.taken -= 1
            raise APIError("Pool overlaps with other one on this address space")
        return {"Id": "made"}


def engine_of(api: object) -> Engine:
    engine = Engine(None)
    engine._client = SimpleNamespace(api=api)
    return engine


@pytest.mark.parametrize("taken", [0, 2])
def test_network_is_halved_in_the_range_that_the_engine_chooses(taken: int) -> None:
    api = Fake(taken)
    engine_of(api).create_network("net", {}, halved=True)
    halved = [{"Subnet": OWN, "IPRange": "172.30.0.0/17"}]
    assert api.made == [[], halved] * (taken + 1)
    with pytest.raises(SandboxError, match="making network net failed"):
        engine_of(Fake(3)).create_network("net", {}, halved=True)


def test_routes_are_read_without_the_default_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "route").write_text(ROUTES)
    monkeypatch.setattr(host_network, "ROUTES", tmp_path / "route")
    assert host_network.routes() == [(IPv4Network("172.17.0.0/16"), "br-1"), (IPv4Network("10.213.0.0/30"), "sb0")]


def test_of_networks_of_one_name_a_used_one_comes_first_then_the_oldest() -> None:
    """Engines before 25 allow several."""
    created = {"newer": "2026-03", "used": "2026-04", "older": "2026-02"}

    def inspect(id_: str) -> Any:
        used = {"a": {"Name": "node"}} if id_ == "used" else {}
        known = {"Name": "net", "Id": id_, "Created": created[id_], "Labels": None, "IPAM": {"Config": None}}
        return {**known, "Containers": used}

    listed = [{"Name": "net", "Id": id_} for id_ in created] + [{"Name": "network", "Id": "longer"}]
    engine = engine_of(SimpleNamespace(networks=lambda _: listed, inspect_network=inspect))
    network = engine.network("net")
    assert network and network.id == "used"
    assert [spare.id for spare in engine.spare_networks("net")] == ["older", "newer"]


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
