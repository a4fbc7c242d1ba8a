"""Ports that stand in for addresses of load balancers, where this machine does not reach containers."""

from __future__ import annotations

import socket
from dataclasses import replace
from typing import Any

import pytest

from sandbox.app.edge import edge_ports
from sandbox.bundle.system_images import UPSTREAM
from sandbox.components.edge import routes
from sandbox.components.edge.route import Port
from sandbox.components.edge.step import EdgeStep
from sandbox.engine import ContainerSpec
from sandbox.kube.api import Cluster, ClusterError
from sandbox.names import Home, Names
from tests.support.api_server import ApiServer
from tests.support.edge import edge_file, edge_step
from tests.support.fakes import NETWORK, FakeContainer, FakeEngine, NoWork
from tests.support.ports import free_port

DB = "/api/v1/namespaces/shop/services/db"


@pytest.fixture
def port(server: ApiServer) -> int:
    """A port of a Service of type LoadBalancer, which is free on this machine."""
    number = free_port()
    server.admit = lambda manifest: {
        **manifest,
        "spec": {**manifest["spec"], "ports": [{**one, "nodePort": 30100} for one in manifest["spec"]["ports"]]},
    }
    server.objects[DB] = balanced(number)
    return number


def balanced(port: int) -> dict[str, Any]:
    spec = {"type": "LoadBalancer", "selector": {"app": "db"}, "ports": [{"port": port}]}
    given = {"loadBalancer": {"ingress": [{"ip": "127.9.9.9"}]}}
    return {"metadata": {"name": "db", "namespace": "shop"}, "spec": spec, "status": given}


@pytest.fixture
def step(engine: FakeEngine, names: Names) -> EdgeStep:
    step = edge_step(engine, names)
    step.apply(NoWork())
    spec = ContainerSpec(name=names.node, image=UPSTREAM["node"], command=("init",), labels={}, network=NETWORK)
    engine.add(FakeContainer(spec, engine.images[UPSTREAM["node"]], read_only=False))
    return step


def follow(step: EdgeStep, place: Home) -> tuple[Port, ...]:
    edge_ports.follow(place, step.engine, step.names.name, lambda text: None)
    return routes.load(place.edge)[0].added_ports


def test_addresses_need_no_ports_on_the_engines_own_machine(
    step: EdgeStep, place: Home, port: int, engine: FakeEngine
) -> None:
    engine.shares = True
    assert follow(step, place) == ()


def test_port_stands_in_for_an_address_until_its_service_goes(
    step: EdgeStep, place: Home, server: ApiServer, port: int
) -> None:
    (added,) = follow(step, place)
    assert (added.port, added.to, added.balanced) == (port, f"shop/db:{port}", True)
    assert f"tcp:demo:{port}" in edge_file(step.engine, "haproxy.cfg")
    assert follow(step, place) == (added,)
    (found,) = edge_ports.reached_of("demo", place, step.engine)
    assert found.places == (f"tcp://127.0.0.1:{port}",)
    server.objects[DB]["spec"]["type"] = "ClusterIP"
    assert follow(step, place) == ()
    assert f"tcp:demo:{port}" not in edge_file(step.engine, "haproxy.cfg")


def test_ports_stay_where_the_cluster_does_not_answer(
    step: EdgeStep, place: Home, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = follow(step, place)

    def away(*_: object, **__: object) -> None:
        raise ClusterError("the cluster's API server does not answer")

    monkeypatch.setattr(Cluster, "list", away)
    assert follow(step, place) == before != ()
    assert edge_ports.balanced(routes.load(place.edge), place) == ()


def test_taken_port_gives_the_next_and_a_port_there_is_serves(step: EdgeStep, place: Home, port: int) -> None:
    with socket.create_server(("127.0.0.1", port)):
        (added,) = follow(step, place)
    assert added.port > port
    routes.remove_port(place.edge, "demo", added.port)
    routes.save_port(place.edge, "demo", replace(added, port=free_port(), balanced=False))
    assert [one.balanced for one in follow(step, place)] == [False]
