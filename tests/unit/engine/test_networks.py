"""A halved network is made at once where the range that the engine would take can be told, else in two steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

import pytest
from requests import Response

from sandbox.engine.base import NotThere, Refused
from sandbox.engine.endpoint import Endpoint
from sandbox.engine.networks import Networks
from sandbox.system import host_network
from tests.support.engine_answers import engine_answer

OWN = IPv4Network("172.30.0.0/16")
ROUTES = """\
Iface Destination Gateway Flags RefCnt Use Metric Mask MTU Window IRTT
eth0 00000000 010200C0 0003 0 0 0 00000000 0 0 0
br-1 000011AC 00000000 0001 0 0 0 0000FFFF 0 0 0
sb0 0000D50A 00000000 0001 0 0 0 FCFFFFFF 0 0 0
"""


class Fake(Networks):
    """An engine that has a network of `used` already, and chooses `OWN` itself."""

    def __init__(self, place: str, used: str = "172.18.0.0/16", info: Mapping[str, Any] | None = None) -> None:
        super().__init__(Endpoint(place, "the test"))
        self._info = dict(info or {})
        self.used = used
        self.made: list[Sequence[Mapping[str, str]]] = []

    def _get(self, path: str, **query: object) -> Any:
        described = {"IPAM": {"Config": [{"Subnet": self.used}, {"Subnet": "fd00::/64"}]}}
        return (
            [described, {"IPAM": {"Config": None}}]
            if path == "/networks"
            else {"IPAM": {"Config": [{"Subnet": str(OWN)}]}}
        )

    def _ask(self, method: str, path: str, query: Any = None, body: Any = None, **_: Any) -> Response:
        if method == "POST":
            ranges = body.get("IPAM", {}).get("Config", [])
            self.made.append(ranges)
            if any(one["Subnet"] == "172.19.0.0/16" for one in ranges):
                raise Refused("Pool overlaps with other one on this address space", 403)
        return engine_answer({"Id": "made"})


@pytest.fixture(autouse=True)
def routes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "route"
    file.write_text(ROUTES)
    monkeypatch.setattr(host_network, "ROUTES", file)


def test_a_range_free_here_and_there_is_taken_at_once() -> None:
    engine = Fake("unix:///run/docker.sock", used="172.16.0.0/14")
    engine.create_network("net", {}, halved=True)
    assert engine.made == [[{"Subnet": "172.20.0.0/16", "IPRange": "172.20.0.0/17"}]]


@pytest.mark.parametrize(
    ("place", "info"),
    [
        ("unix:///run/docker.sock", {"DefaultAddressPools": [{"Base": "10.0.0.0/8", "Size": 24}]}),
        ("tcp://192.0.2.1:2376", {}),
    ],
)
def test_an_engine_with_ranges_unknown_here_is_asked(place: str, info: Mapping[str, Any]) -> None:
    engine = Fake(place, info=info)
    engine.create_network("net", {}, halved=True)
    assert engine.made == [[], [{"Subnet": "172.30.0.0/16", "IPRange": "172.30.0.0/17"}]]


def test_a_range_that_is_refused_is_left_to_the_engine() -> None:
    engine = Fake("unix:///run/docker.sock")
    engine.create_network("net", {}, halved=True)
    assert [[one["Subnet"] for one in ranges] for ranges in engine.made] == [["172.19.0.0/16"], [], ["172.30.0.0/16"]]


def test_routes_are_read_without_the_default_one() -> None:
    found = [(IPv4Network("172.17.0.0/16"), "br-1"), (IPv4Network("10.213.0.0/30"), "sb0")]
    assert host_network.routes() == found


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
