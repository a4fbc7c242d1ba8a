"""Networks that the engine halves, and those that go while they are looked at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from ipaddress import IPv4Network
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from docker.errors import APIError, NotFound

from sandbox.engine import Engine
from sandbox.errors import SandboxError
from sandbox.system import host_network

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


def test_a_network_that_goes_after_it_was_listed_is_left_out() -> None:
    def inspect(id_: str) -> Any:
        if id_ == "gone":
            raise NotFound("network gone not found")
        return {"Name": "net", "Id": "left", "Created": "2026", "Labels": None, "IPAM": {"Config": None}}

    listed = [{"Name": "net", "Id": "gone"}, {"Name": "net", "Id": "left"}]
    engine = engine_of(SimpleNamespace(networks=lambda _: listed, inspect_network=inspect))
    network = engine.network("net")
    assert network and network.id == "left" and not engine.spare_networks("net")


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
