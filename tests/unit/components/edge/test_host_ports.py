"""What the cluster has for TCP ports: a Service of the sandbox next to each that the user has."""

from __future__ import annotations

from typing import Any

import pytest

from sandbox.components.edge import routes
from sandbox.components.edge import step as edge_steps
from sandbox.components.edge.container import EdgeContainer
from sandbox.components.edge.host_ports import Target, ready_pods
from sandbox.components.edge.route import Port, Route
from sandbox.components.edge.step import EdgeStep, ForwardedPortsStep, PortsStep
from sandbox.errors import SandboxError
from sandbox.kube.api import Cluster
from sandbox.names import Home, Names
from sandbox.step import Progress, State, Status
from sandbox.system.wait import WaitTimeout
from tests.support.api_server import ApiServer
from tests.support.edge import edge_file, edge_step
from tests.support.fakes import FakeEngine, NoWork, applied

DB = Port(5432, "shop/db:5432")
THEIRS = "/api/v1/namespaces/shop/services/db"
OURS = f"/api/v1/namespaces/shop/services/{Target.parse(DB.to).name}"


@pytest.fixture
def server(server: ApiServer) -> ApiServer:
    """A cluster that gives NodePorts."""

    def admit(manifest: dict[str, Any]) -> dict[str, Any]:
        if manifest["kind"] != "Service":
            return manifest
        ports = [{**port, "nodePort": 30100 + index} for index, port in enumerate(manifest["spec"]["ports"])]
        return {**manifest, "spec": {**manifest["spec"], "ports": ports}}

    server.admit = admit
    return server


def service(**spec: Any) -> dict[str, Any]:
    ports = [{"name": "pg", "port": 5432, "targetPort": "pg"}, {"name": "udp", "port": 53, "protocol": "UDP"}]
    metadata = {"name": "db", "namespace": "shop"}
    return {"kind": "Service", "metadata": metadata, "spec": {"selector": {"app": "db"}, "ports": ports, **spec}}


@pytest.fixture
def edge(engine: FakeEngine, names: Names) -> EdgeStep:
    step = edge_step(engine, names, ports=(DB,))
    step.apply(NoWork())
    return step


@pytest.fixture
def step(edge: EdgeStep) -> PortsStep:
    return PortsStep(edge.engine, edge.names, edge.image)


@pytest.mark.parametrize(
    ("spec", "to", "trouble"),
    [
        (None, DB.to, "there is no Service shop/db"),
        ({"selector": {}}, DB.to, "has no selector"),
        ({}, "shop/db:53", "has no TCP port 53; it has: 5432"),
        ({}, "shop/db:mysql", "has no TCP port mysql"),
    ],
)
def test_port_without_a_service_is_reported_and_up_goes_on(
    step: PortsStep, server: ApiServer, place: Home, spec: dict[str, Any] | None, to: str, trouble: str
) -> None:
    if spec is not None:
        server.objects[THEIRS] = service(**spec)
    routes.ADDED_PORTS.save(place.edge, (step.names.name, Port(5432, to)))
    lines: list[str] = []
    step.apply(Progress(lines.append))
    assert trouble in lines[0]
    assert step.check().state is State.READY and trouble in step.check().detail
    assert trouble in ready_pods(Cluster(step.names.kubeconfig), to)[1]


def test_service_that_comes_or_changes_gets_a_second_one_with_its_selector(
    step: PortsStep, edge: EdgeStep, server: ApiServer, place: Home
) -> None:
    step.apply(NoWork())
    assert OURS not in server.objects
    server.objects[THEIRS] = service()
    assert step.check().state is State.ABSENT
    step.apply(NoWork())
    ours = server.objects[OURS]["spec"]
    assert (ours["type"], ours["selector"]) == ("NodePort", {"app": "db"})
    assert [(port["port"], port["targetPort"]) for port in ours["ports"]] == [(5432, "pg")]
    assert step.check() == Status(State.READY, "5432 → shop/db:5432")
    assert f"server node {step.names.node}:30100 " in edge_file(step.engine, "haproxy.cfg")
    assert edge.check().state is State.READY and EdgeContainer.of(step.engine, place).is_current()
    server.objects[THEIRS] = service(selector={"app": "db", "color": "green"})
    assert step.check() == Status(State.DRIFTED, "shop/db:5432 has changed")
    step.apply(NoWork())
    assert server.objects[OURS]["spec"]["selector"] == {"app": "db", "color": "green"}
    assert step.check().state is State.READY


def test_the_second_service_is_removed_with_its_port(step: PortsStep, server: ApiServer, place: Home) -> None:
    server.objects[THEIRS] = service()
    step.apply(NoWork())
    route = routes.load(place.edge)[0]
    routes.save(place.edge, Route(route.name, route.domain, route.upstream, route.listen, route.since))
    assert step.check().detail == "shop/db:5432 is no longer in the spec"
    step.apply(NoWork())
    assert OURS not in server.objects and THEIRS in server.objects
    assert routes.load(place.edge)[0].node_ports == ()


def test_endpoints_of_an_earlier_start_are_waited_for(
    step: PortsStep, server: ApiServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pods have other addresses after their node was started → not ready until Services lead to these."""
    monkeypatch.setattr(edge_steps, "TIMEOUT", 0.1)
    server.objects[THEIRS] = service()
    step.apply(NoWork())
    end = {"addresses": ["10.244.0.5"], "targetRef": {"kind": "Pod", "name": "db-1"}}
    labels = {"kubernetes.io/service-name": Target.parse(DB.to).name}
    path = "/apis/discovery.k8s.io/v1/namespaces/shop/endpointslices/db-1"
    server.objects[path] = {"metadata": {"name": "db-1", "labels": labels}, "endpoints": [end]}
    pod = {"metadata": {"name": "db-1", "namespace": "shop"}, "status": {"podIP": "10.244.0.3"}}
    server.objects["/api/v1/namespaces/shop/pods/db-1"] = pod
    assert step.check().detail == "the endpoints of shop/db:5432 are of an earlier start"
    with pytest.raises(WaitTimeout):
        step.apply(NoWork())
    end["addresses"] = ["10.244.0.3"]
    assert applied(step).state is State.READY


@pytest.mark.fault(92)
def test_ports_through_the_api_server_need_rights(names: Names, server: ApiServer) -> None:
    """No right to create a port-forward → refused with the rights that are missing; without a Service it is said."""
    server.objects["/api/v1/namespaces/team/services/db"] = service()
    step = ForwardedPortsStep(names, "team", (DB, Port(6379, "shop/cache:6379")))
    assert step.check().state is State.READY
    assert step.check().detail.endswith("6379 → shop/cache:6379; there is no Service cache in team")
    server.may = lambda verb, resource: resource != "pods/portforward"
    assert step.check().state is State.ABSENT
    with pytest.raises(SandboxError, match="may not forward ports in the namespace team") as caught:
        step.apply(NoWork())
    assert caught.value.id == "port-forward-denied" and "pods/portforward" in caught.value.details
