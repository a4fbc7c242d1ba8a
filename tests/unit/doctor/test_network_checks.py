"""Ranges, names and ports of the network, with real listeners and containers in memory."""

from __future__ import annotations

import os
import socket
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from sandbox.config.schema import ResolvedSpec
from sandbox.doctor import network_checks
from sandbox.doctor.check import DoctorContext, Status
from sandbox.names import EDGE, LABEL
from sandbox.system import host_network
from tests.support.fakes import NETWORK, FakeEngine
from tests.unit.doctor.conftest import start

HEAD = "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT\n"
DEFAULT = "eth0\t00000000\t0100000A\t0003\t0\t0\t0\t00000000\t0\t0\t0\n"
OURS = "br-1\t00001EAC\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0\n"  # 172.30.0.0/16
VPN = "tun0\t000010AC\t00000000\t0003\t0\t0\t0\t0000F0FF\t0\t0\t0\n"  # 172.16.0.0/12
DOWN = VPN.replace("0003", "0000")


@pytest.fixture
def table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "route"
    monkeypatch.setattr(host_network, "ROUTES", path)
    return path


@pytest.mark.fault(56)
@pytest.mark.parametrize(
    ("routes", "status"),
    [(DEFAULT + OURS, Status.OK), (OURS + VPN, Status.ERROR), (OURS + DOWN, Status.OK)],
)
def test_overlapping_route_to_our_network_is_reported(
    context: DoctorContext, engine: FakeEngine, table: Path, routes: str, status: Status
) -> None:
    """A VPN's route covers our network → the doctor names the route."""
    engine.create_network(NETWORK, {LABEL: ""})
    table.write_text(HEAD + routes)
    found = network_checks.ranges(context)
    assert found.status is status
    assert (status is Status.OK) or "172.16.0.0/12 on tun0" in found.evidence


def test_name_that_does_not_resolve_is_reported(context: DoctorContext, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = ResolvedSpec.model_validate({"name": "demo", "domain": "demo.invalid"})
    found = network_checks.dns(replace(context, spec=spec))
    assert found.status is Status.ERROR and found.fix == "sandbox hosts install -n demo"

    def unknown(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    # The resolver of macOS knows no name below localhost (RFC 6761 lets it).
    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    assert network_checks.dns(context).status is Status.WARN


def test_ports_may_be_those_of_our_own_containers_only(context: DoctorContext, engine: FakeEngine) -> None:
    start(context, engine, EDGE, port=context.spec.edge.ports[0])
    start(context, engine, context.names.registry, port=context.spec.registry.port)
    assert network_checks.https(context).status is network_checks.registry(context).status is Status.OK
    assert EDGE in network_checks.https(context).evidence
    engine.remove_container(context.names.registry)
    start(context, engine, "other", port=context.spec.registry.port)
    taken = network_checks.registry(context)
    assert taken.status is Status.ERROR and taken.evidence.endswith("other")
    assert "sandbox up -n demo --registry-port" in taken.fix


def test_a_process_is_named(context: DoctorContext) -> None:
    with closing(socket.create_server(("127.0.0.1", context.spec.edge.ports[1]))):
        found = network_checks.https(context)
    assert found.status is Status.ERROR and f"(pid {os.getpid()})" in found.evidence
    assert "sandbox up -n demo --https-port" in found.fix
