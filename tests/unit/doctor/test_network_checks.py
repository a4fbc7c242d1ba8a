"""Clashes of address ranges and names, with a routing table of the test's."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from sandbox.config.schema import ResolvedSpec
from sandbox.doctor import network_checks
from sandbox.doctor.doctor_context import Scene
from sandbox.doctor.row import Status
from sandbox.names import LABEL
from tests.support.fakes import NETWORK, FakeEngine

HEAD = "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT\n"
DEFAULT = "eth0\t00000000\t0100000A\t0003\t0\t0\t0\t00000000\t0\t0\t0\n"
OURS = "br-1\t00001EAC\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0\n"  # 172.30.0.0/16
VPN = "tun0\t000010AC\t00000000\t0003\t0\t0\t0\t0000F0FF\t0\t0\t0\n"  # 172.16.0.0/12
DOWN = VPN.replace("0003", "0000")
PODS = "tun0\t0005F40A\t00000000\t0003\t0\t0\t0\t00FFFFFF\t0\t0\t0\n"  # 10.244.5.0/24


@pytest.fixture
def table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "route"
    monkeypatch.setattr(network_checks, "ROUTES", path)
    return path


def test_a_network_that_is_not_there_yet_is_not_judged(scene: Scene, table: Path) -> None:
    assert network_checks.subnet(scene).status is Status.SKIPPED


@pytest.mark.fault(56)
@pytest.mark.parametrize(
    ("routes", "status"),
    [(DEFAULT + OURS, Status.OK), (OURS + VPN, Status.ERROR), (OURS + DOWN, Status.OK)],
)
def test_another_route_into_our_network(
    scene: Scene, engine: FakeEngine, table: Path, routes: str, status: Status
) -> None:
    """A VPN's route covers our network → the doctor names the route."""
    engine.create_network(NETWORK, {LABEL: ""})
    table.write_text(HEAD + routes)
    found = network_checks.subnet(scene)
    assert found.status is status
    assert (status is Status.OK) or "172.16.0.0/12 on tun0" in found.evidence


def test_a_route_into_the_pods_range_is_told(scene: Scene, table: Path) -> None:
    table.write_text(HEAD + DEFAULT + PODS)
    found = network_checks.cluster_ranges(scene)
    assert found.status is Status.WARN and "10.244.5.0/24 on tun0 is inside the range of pods" in found.evidence


def test_a_nameserver_in_the_range_of_services_is_told(scene: Scene, table: Path) -> None:
    spec = ResolvedSpec.model_validate({"name": "demo", "network": {"nameservers": ("10.96.0.53",)}})
    found = network_checks.cluster_ranges(replace(scene, spec=spec))
    assert found.status is Status.WARN and "10.96.0.53 is inside the range of Services" in found.evidence


def test_a_name_that_leads_elsewhere_is_an_error(scene: Scene) -> None:
    spec = ResolvedSpec.model_validate({"name": "demo", "domain": "demo.invalid"})
    found = network_checks.dns(replace(scene, spec=spec))
    assert found.status is Status.ERROR and "/etc/hosts" in found.fix


@pytest.mark.parametrize(
    ("address", "here"), [("127.0.0.1", True), ("127.9.9.9", True), ("::1", True), ("192.0.2.1", False)]
)
def test_which_addresses_are_here(address: str, here: bool) -> None:
    assert network_checks.is_here(address) is here
