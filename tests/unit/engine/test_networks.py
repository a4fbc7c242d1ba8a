"""Networks that the engine halves, and those that go while they are looked at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

import pytest
from requests import Response

from sandbox.engine.base import NotThere, Refused
from sandbox.engine.networks import Networks
from sandbox.errors import SandboxError
from sandbox.system import host_network
from tests.support.engine_answers import engine_answer

OWN = "172.30.0.0/16"
ROUTES = """\
Iface Destination Gateway Flags RefCnt Use Metric Mask MTU Window IRTT
eth0 00000000 010200C0 0003 0 0 0 00000000 0 0 0
br-1 000011AC 00000000 0001 0 0 0 0000FFFF 0 0 0
sb0 0000D50A 00000000 0001 0 0 0 FCFFFFFF 0 0 0
"""


class Fake(Networks):
    """An engine that chooses the range `OWN`, and refuses it as often as `taken` says when it is asked for."""

    def __init__(self, taken: int) -> None:
        super().__init__(None)
        self.taken = taken
        self.made: list[Sequence[Mapping[str, str]]] = []

    def _get(self, path: str, **query: object) -> Any:
        return {"IPAM": {"Config": [{"Subnet": OWN}, {"Subnet": "fd00::/64"}]}}

    def _ask(self, method: str, path: str, query: Any = None, body: Any = None, **_: Any) -> Response:
        if method == "POST":
            ranges = body.get("IPAM", {}).get("Config", [])
            self.made.append(ranges)
            if ranges and self.taken:
                self.taken -= 1
                raise Refused("Pool overlaps with other one on this address space", 403)
        return engine_answer({"Id": "made"})


@pytest.mark.parametrize("taken", [0, 2])
def test_network_is_halved_in_the_range_that_the_engine_chooses(taken: int) -> None:
    engine = Fake(taken)
    engine.create_network("net", {}, halved=True)
    halved = [{"Subnet": OWN, "IPRange": "172.30.0.0/17"}]
    assert engine.made == [[], halved] * (taken + 1)


def test_range_that_others_always_take_is_an_error() -> None:
    with pytest.raises(SandboxError, match="making network net failed"):
        Fake(3).create_network("net", {}, halved=True)


def test_routes_are_read_without_the_default_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "route").write_text(ROUTES)
    monkeypatch.setattr(host_network, "ROUTES", tmp_path / "route")
    assert host_network.routes() == [(IPv4Network("172.17.0.0/16"), "br-1"), (IPv4Network("10.213.0.0/30"), "sb0")]


class Going(Networks):
    """An engine that lists two networks of a name, one of which is gone when it is asked for."""

    def _get(self, path: str, **query: object) -> Any:
        if path == "/networks":
            return [{"Name": "net", "Id": "gone"}, {"Name": "net", "Id": "left"}]
        if path == "/networks/gone":
            raise NotThere("network gone not found")
        return {"Name": "net", "Id": "left", "Created": "2026", "Labels": None, "IPAM": {"Config": None}}


def test_a_network_that_goes_after_it_was_listed_is_left_out() -> None:
    engine = Going(None)
    assert engine.network("net") and not engine.spare_networks("net")
