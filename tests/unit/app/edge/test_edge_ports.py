"""Services of type LoadBalancer as commands show them."""

from __future__ import annotations

from typing import Any

import pytest

from sandbox.app.edge import edge_ports
from sandbox.components.edge import routes
from sandbox.components.edge.step import EdgeStep
from sandbox.engine import Engine
from sandbox.kube.api import Cluster, ClusterError
from sandbox.names import Home, Names
from tests.support.api_server import ApiServer
from tests.support.edge import edge_step
from tests.support.fakes import FakeEngine, NoWork

DB = "/api/v1/namespaces/shop/services/db"


@pytest.fixture
def step(engine: FakeEngine, names: Names, server: ApiServer) -> EdgeStep:
    step = edge_step(engine, names)
    step.apply(NoWork())
    server.objects[DB] = balanced(5432)
    return step


def balanced(port: int) -> dict[str, Any]:
    spec = {"type": "LoadBalancer", "selector": {"app": "db"}, "ports": [{"port": port}]}
    given = {"loadBalancer": {"ingress": [{"ip": "127.9.9.9"}]}}
    return {"metadata": {"name": "db", "namespace": "shop"}, "spec": spec, "status": given}


@pytest.mark.parametrize("shares", [True, False])
def test_address_is_listed_where_this_machine_reaches_it(
    step: EdgeStep, place: Home, engine: FakeEngine, shares: bool
) -> None:
    engine.shares = shares
    (found,) = edge_ports.reached_of("demo", place, engine)
    assert (found.service, found.places) == ("shop/db", ("tcp://127.9.9.9:5432",) if shares else ())


def test_cluster_that_does_not_answer_has_no_load_balancers(
    step: EdgeStep, place: Home, engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: object, **__: object) -> None:
        raise ClusterError("the cluster's API server does not answer")

    monkeypatch.setattr(Cluster, "list", away)
    assert edge_ports.balanced(routes.load(place.edge), place, engine) == ()


@pytest.mark.usefixtures("step")
def test_service_without_a_way_from_this_machine_is_refused(
    place: Home, engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Engine, "connect", lambda: engine)
    monkeypatch.setattr(edge_ports, "user_home", lambda: place)
    engine.shares = True
    assert edge_ports.places("demo", "shop/db:5432") == ("tcp://127.9.9.9:5432",)
    engine.shares = False
    with pytest.raises(Exception, match="this machine has no way to the Service shop/db"):
        edge_ports.places("demo", "shop/db")
