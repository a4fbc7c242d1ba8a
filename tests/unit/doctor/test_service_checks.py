"""The rows of the way to a Service, by what the API server, the engine and this machine say."""

from __future__ import annotations

import socket
from dataclasses import replace
from typing import Any

import pytest

from sandbox.components.edge import forwarder, routes
from sandbox.components.edge.route import Forward, Port, Route
from sandbox.doctor.check import DoctorContext, Row, Status
from sandbox.doctor.service_checks import CHECKS, examine
from sandbox.errors import UsageError
from sandbox.names import EDGE
from tests.support.api_server import ApiServer, kubeconfig
from tests.support.fakes import NETWORK, FakeEngine
from tests.support.ports import free_port
from tests.unit.doctor.conftest import start

DB = "/api/v1/namespaces/shop/services/db"
READY = {"conditions": [{"type": "Ready", "status": "True"}], "phase": "Running"}


@pytest.fixture
def world(context: DoctorContext, engine: FakeEngine, server: ApiServer) -> ApiServer:
    """A sandbox whose Service shop/db has one pod that is ready."""
    start(context, engine, context.names.node, role="control-plane")
    start(context, engine, EDGE, sandbox="")
    engine.programs["timeout"] = lambda box, argv: (0, "")
    whole = {"type": "ClusterIP", "clusterIP": "10.96.0.9", "selector": {"app": "db"}, "ports": [{"port": 5432}]}
    server.objects[DB] = service("db", "shop", **whole)
    server.objects["/api/v1/namespaces/shop/pods/db-1"] = pod("db-1", {"app": "db"}, READY)
    server.objects["/api/v1/namespaces/kube-system/pods/kp"] = pod("kp", {"k8s-app": "kube-proxy"}, READY)
    server.objects[SLICE] = {
        "metadata": {"name": "db-1", "namespace": "shop", "labels": {"kubernetes.io/service-name": "db"}},
        "ports": [{"name": "", "port": 5432, "protocol": "TCP"}],
        "endpoints": [{"addresses": ["10.244.0.5"], "conditions": {"ready": True}, "targetRef": {"name": "db-1"}}],
    }
    return server


SLICE = "/apis/discovery.k8s.io/v1/namespaces/shop/endpointslices/db-1"


def service(name: str, namespace: str, **spec: Any) -> dict[str, Any]:
    return {"kind": "Service", "metadata": {"name": name, "namespace": namespace}, "spec": spec}


def pod(name: str, labels: dict[str, str], status: dict[str, Any]) -> dict[str, Any]:
    return {"kind": "Pod", "metadata": {"name": name, "labels": labels}, "spec": {"nodeName": "n"}, "status": status}


def rows(context: DoctorContext, text: str = "shop/db") -> dict[str, Row]:
    return {one.id: one for one in examine(context, text)}


def first_error(context: DoctorContext, text: str = "shop/db") -> Row:
    found = list(rows(context, text).values())
    wrong = next(index for index, one in enumerate(found) if one.status is Status.ERROR)
    assert all(one.status is Status.SKIPPED for one in found[wrong + 1 :])
    return found[wrong]


def test_a_service_that_works_has_no_error(context: DoctorContext, world: ApiServer) -> None:
    found = rows(context)
    assert list(found) == [check.id for check in CHECKS]
    assert {one.status for one in found.values()} == {Status.OK, Status.WARN}
    assert found["service.machine"].evidence.startswith("only pods reach it")
    assert found["service.machine"].fix == "sandbox edge port add auto shop/db:5432 -n demo"
    assert found["service.endpoints"].evidence == "10.244.0.5"
    assert found["service.pod"].evidence == "10.244.0.5:5432 accept connections"
    assert rows(context, "db") == found


def test_another_name_needs_no_pods(context: DoctorContext, world: ApiServer) -> None:
    world.objects[DB] = service("db", "shop", type="ExternalName", externalName="db.example.com")
    del world.objects[SLICE]
    found = rows(context)
    assert not [one for one in found.values() if one.status is Status.ERROR]
    assert found["service.endpoints"].evidence == "it is another name of db.example.com, which pods connect to"


def test_a_name_is_looked_for_in_all_namespaces(context: DoctorContext, world: ApiServer) -> None:
    world.objects["/api/v1/namespaces/other/services/db"] = service("db", "other")
    with pytest.raises(UsageError, match="several") as caught:
        rows(context, "db")
    assert "other/db" in caught.value.fix
    assert first_error(context, "nothing").evidence == "there is no Service default/nothing"


def test_a_port_that_is_not_open_is_the_first_error(context: DoctorContext, world: ApiServer) -> None:
    port = free_port()
    ports = (Port(port, "shop/db:5432"),)
    known = Route("demo", "demo.test", context.names.node, (("127.0.0.1", 443),), network=NETWORK, ports=ports)
    routes.save(context.home.edge, known)
    assert first_error(context).id == "service.machine"
    with socket.create_server(("127.0.0.1", port)):
        assert first_error(context).evidence == f"the edge does not know where port {port} leads"
        routes.save(context.home.edge, replace(known, node_ports=(("shop/db:5432", 30100),)))
        assert rows(context)["service.machine"].evidence == f"127.0.0.1:{port} (tcp)"


def test_port_of_a_forwarded_cluster_is_traced_too(
    context: DoctorContext, world: ApiServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = free_port()
    forward = Forward("shop/db:5432", "service/db", "5432", "shop", "/kubeconfig")
    ports = (Port(port, "shop/db:5432"),)
    known = Route("demo", "demo.test", "", (("127.0.0.1", 443),), ports=ports, forwards=(forward,))
    routes.save(context.home.edge, known)
    with socket.create_server(("127.0.0.1", port)):
        assert "has no process for port-forwards" in first_error(context).evidence
        monkeypatch.setattr(forwarder, "trouble", lambda *_: None)
        found = rows(context)
    assert found["service.machine"].evidence == f"127.0.0.1:{port} (tcp)"


def test_a_load_balancer_without_an_address_is_an_error(context: DoctorContext, world: ApiServer) -> None:
    world.objects[DB]["spec"]["type"] = "LoadBalancer"
    wrong = first_error(context)
    assert wrong.id == "service.machine" and "describe service db" in wrong.fix
    world.objects[DB]["status"] = {"loadBalancer": {"ingress": [{"ip": "127.0.0.1"}]}}
    assert rows(context)["service.machine"].evidence == "its address 127.0.0.1"


def test_pods_that_are_not_ready_are_named_with_their_reason(context: DoctorContext, world: ApiServer) -> None:
    world.objects[SLICE]["endpoints"] = []
    waiting = {"name": "db", "state": {"waiting": {"reason": "ImagePullBackOff"}}}
    status = {"phase": "Pending", "containerStatuses": [waiting]}
    world.objects["/api/v1/namespaces/shop/pods/db-1"]["status"] = status
    wrong = first_error(context)
    assert wrong.evidence == "no ready pod behind Service shop/db: db-1 ImagePullBackOff"
    assert wrong.fix.startswith("kubectl --context sandbox-demo -n shop describe service db")
    del world.objects["/api/v1/namespaces/shop/pods/db-1"]
    assert first_error(context).evidence.endswith("no pod has the labels app=db")


def test_pod_is_connected_to_at_each_of_its_ports(context: DoctorContext, world: ApiServer, engine: FakeEngine) -> None:
    engine.programs["timeout"] = lambda box, argv: (1, "refused")
    wrong = first_error(context)
    assert wrong.evidence == "the pod db-1 does not accept connections at 10.244.0.5:5432" and "targetPort" in wrong.fix
    engine.programs["timeout"] = lambda box, argv: (0, "")
    world.objects[SLICE]["ports"] = [{"name": name, "port": 5432, "protocol": "TCP"} for name in ("", "again")]
    world.objects[SLICE]["endpoints"][0]["addresses"] = ["fd00::5"]
    assert rows(context)["service.pod"].evidence == "[fd00::5]:5432 accept connections"
    world.objects[SLICE]["ports"] = []
    assert first_error(context).evidence == "no pod has its port"


def test_a_cluster_that_is_stopped_is_to_be_started(context: DoctorContext, world: ApiServer) -> None:
    kubeconfig(context.names.kubeconfig, free_port())
    wrong = first_error(context)
    assert (wrong.id, wrong.fix.split(",")[0]) == ("service.exists", "sandbox start -n demo")
