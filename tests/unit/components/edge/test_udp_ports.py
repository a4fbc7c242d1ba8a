"""The container for UDP ports: there while a sandbox has some, made again when they or the nodes' ports change."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sandbox.bundle.system_images import UPSTREAM
from sandbox.components.edge.route import UDP, Port, Route
from sandbox.components.edge.udp_ports import FIRST, UdpPorts
from sandbox.engine import Bind, ContainerSpec, EngineError
from sandbox.errors import SandboxError
from sandbox.names import LABEL, Names
from tests.support.edge import edge_step
from tests.support.fakes import NETWORK, FakeContainer, FakeEngine

DNS, GAME = Port(5353, "infra/dns:53", protocol=UDP), Port(7777, "games/quake:7777", protocol=UDP)


@pytest.fixture
def route(names: Names) -> Route:
    known = (("infra/dns:53/udp", 30053), ("shop/db:5432", 30100))
    ports = (DNS, GAME, Port(5432, "shop/db:5432"))
    listen = (("127.0.0.1", 443),)
    return Route(names.name, "demo.test", names.node, listen, network=NETWORK, ports=ports, node_ports=known)


@pytest.fixture
def udp(engine: FakeEngine, names: Names) -> UdpPorts:
    node = ContainerSpec(name=names.node, image=UPSTREAM["node"], command=("init",), labels={}, network=NETWORK)
    engine.add(FakeContainer(node, engine.images[UPSTREAM["node"]], read_only=False))
    return UdpPorts(engine, names)


def test_ports_of_known_services_are_forwarded(udp: UdpPorts, route: Route, engine: FakeEngine, names: Names) -> None:
    assert udp.drift(route) == "no container forwards the UDP ports"
    engine.networks[NETWORK].lower = "172.30.0.0/17"
    udp.reconcile(route)
    assert udp.drift(route) is None
    spec = engine.boxes[names.udp].spec
    assert spec.address == "172.30.255.239"  # not one that a node may have had
    assert spec.udp == {FIRST: (Bind("127.0.0.1", 5353), Bind("::1", 5353))} and spec.publish == {}
    assert spec.command[3:] == ("udp", names.node, f"{FIRST}=30053")
    assert (spec.capabilities, spec.labels[LABEL]) == (("NET_ADMIN",), names.name)


def test_a_network_with_ipv6_has_no_port_at_its_loopback(udp: UdpPorts, route: Route, engine: FakeEngine) -> None:
    engine.networks[NETWORK].subnet6 = "fd00:1::/64"
    udp.reconcile(route)
    assert udp.drift(route) is None
    assert engine.boxes["sandbox-demo-udp"].spec.udp == {FIRST: (Bind("127.0.0.1", 5353),)}


def test_another_loopback_address_is_meant_alone(udp: UdpPorts, route: Route, engine: FakeEngine) -> None:
    udp.reconcile(replace(route, listen=(("127.0.0.2", 443),)))
    assert engine.boxes["sandbox-demo-udp"].spec.udp == {FIRST: (Bind("127.0.0.2", 5353),)}


def test_a_changed_node_port_or_listen_makes_it_again(udp: UdpPorts, route: Route, engine: FakeEngine) -> None:
    udp.reconcile(route)
    for other in (
        replace(route, node_ports=(*route.node_ports, (GAME.target, 30777))),
        replace(route, listen=(("0.0.0.0", 443),)),  # noqa: S104
    ):
        assert udp.drift(other) == "sandbox-demo-udp forwards other ports"
        udp.reconcile(other)
        assert udp.drift(other) is None
    assert engine.boxes["sandbox-demo-udp"].spec.udp == {FIRST: (Bind("0.0.0.0", 5353),)}  # noqa: S104


def test_container_goes_with_the_sandbox_s_route(udp: UdpPorts, route: Route, engine: FakeEngine) -> None:
    udp.reconcile(route)
    assert edge_step(engine, udp.names).undo()
    assert udp.names.udp not in engine.boxes


def test_container_goes_with_the_last_port(udp: UdpPorts, route: Route, engine: FakeEngine) -> None:
    udp.reconcile(route)
    none = replace(route, ports=())
    assert udp.drift(none) == "a container forwards UDP ports that are no longer in the spec"
    udp.reconcile(none)
    assert "sandbox-demo-udp" not in engine.boxes and udp.drift(none) is None
    assert not udp.stop()


def test_without_ipv6_only_ipv4_is_forwarded(udp: UdpPorts, route: Route, engine: FakeEngine) -> None:
    run = engine.run

    def refusing(spec: ContainerSpec) -> None:
        if any(":" in bind.address for binds in spec.udp.values() for bind in binds):
            raise EngineError("starting failed", details="cannot assign requested address")
        run(spec)

    engine.run = refusing  # type: ignore[method-assign]
    udp.reconcile(route)
    assert engine.boxes["sandbox-demo-udp"].spec.udp == {FIRST: (Bind("127.0.0.1", 5353),)}
    assert udp.drift(route) is None


def test_without_a_node_there_is_nothing_to_forward_with(engine: FakeEngine, names: Names, route: Route) -> None:
    with pytest.raises(SandboxError, match="no node"):
        UdpPorts(engine, names).reconcile(route)
