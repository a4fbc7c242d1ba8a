"""A sandbox in an existing cluster reads its own namespace, for it may read no other, and nothing that has none."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from sandbox.app import context
from sandbox.app.core import Sandbox
from sandbox.app.edge import edge_ports
from sandbox.app.views import overview
from sandbox.components.edge import routes
from sandbox.components.edge.route import Route
from sandbox.config.schema import ResolvedSpec, Spec
from sandbox.doctor import pod_checks, service_checks
from sandbox.doctor.check import DoctorContext, Status
from sandbox.doctor.tls import cluster_checks
from sandbox.doctor.tls.tls_context import RequestTrace
from sandbox.errors import SandboxError
from sandbox.plan import saved_spec
from tests.support.api_server import ApiServer, kubeconfig, serving
from tests.support.fakes import FakeEngine

NAMESPACE = "demo-ann"
EXISTING = {"provider": "existing", "context": "team", "namespace": NAMESPACE}
SPEC = ResolvedSpec.model_validate({"name": "demo", "domain": "demo.test", "cluster": EXISTING})
ROUTE = Route("demo", "demo.test", "127.0.0.1:1", (("127.0.0.1", 8443),))
HOST = "web.demo.test"


@pytest.fixture
def cluster(isolated_home: object) -> Iterator[ApiServer]:
    """The team's cluster, with the same objects in this sandbox's namespace and in another one."""
    names = context.home().sandbox("demo")
    saved_spec.save(names, SPEC)
    routes.save(names.home.edge, ROUTE)
    with serving() as server:
        kubeconfig(names.kubeconfig, server.server_address[1])
        server.kinds["/api/v1"]["Event"] = ("events", True)
        kinds = {"Ingress": ("ingresses", True), "IngressClass": ("ingressclasses", False)}
        server.kinds["/apis/networking.k8s.io/v1"] = kinds
        for place, host in ((NAMESPACE, HOST), ("theirs", "theirs.demo.test")):
            metadata = {"name": "web", "namespace": place}
            ports = [{"port": 80, "name": "http"}]
            backend = {"service": {"name": "web", "port": {"number": 80}}}
            rule = {"host": host, "http": {"paths": [{"path": "/", "backend": backend}]}}
            found: dict[str, dict[str, Any]] = {
                "/api/v1/{}/pods/web": {"status": {"phase": "Pending"}},
                "/api/v1/{}/services/web": {"spec": {"type": "LoadBalancer", "ports": ports}},
                "/apis/networking.k8s.io/v1/{}/ingresses/web": {
                    "spec": {"ingressClassName": "sandbox", "rules": [rule]}
                },
            }
            for path, content in found.items():
                server.objects[path.format(f"namespaces/{place}")] = {"metadata": metadata, **content}
        yield server


@pytest.fixture
def doctor() -> DoctorContext:
    return DoctorContext(SPEC, context.home(), {}, SandboxError("no engine"), datetime.now(UTC))


def reads(server: ApiServer, read: Callable[[], object]) -> tuple[Any, bool]:
    """What is read, and whether all of it is in the namespace."""
    server.asked.clear()
    found: Any = read()
    paths = [path for _, path, *_ in server.asked if path not in server.kinds]
    return found, bool(paths) and all(f"/namespaces/{NAMESPACE}/" in path for path in paths)


def test_hosts_are_those_of_the_namespace(cluster: ApiServer) -> None:
    assert reads(cluster, lambda: overview.answered_hosts("demo").hosts) == ((HOST,), True)
    assert reads(cluster, lambda: overview.host_urls("demo", None, for_others=False)) == (
        (f"https://{HOST}:8443/",),
        True,
    )
    spec = Spec.model_validate({"name": "demo", "domain": "demo.test", "cluster": EXISTING})
    assert reads(cluster, lambda: Sandbox(spec).hosts) == ((HOST,), True)


def test_context_is_the_users_own(cluster: ApiServer) -> None:
    assert Sandbox(Spec.model_validate({"name": "demo", "cluster": EXISTING})).context == "team"
    assert Sandbox(Spec(name="other")).context == "sandbox-other"


def test_load_balancers_are_those_of_the_namespace(cluster: ApiServer) -> None:
    found, is_inside = reads(cluster, lambda: edge_ports.balanced([ROUTE], context.home(), FakeEngine()))
    assert [one.service for one in found] == [f"{NAMESPACE}/web"] and is_inside


def test_pods_and_services_are_looked_for_in_the_namespace(cluster: ApiServer, doctor: DoctorContext) -> None:
    (row,), is_inside = reads(cluster, lambda: list(pod_checks.examine(doctor, "web")))
    assert row.evidence.startswith(f"{NAMESPACE}/web is Pending") and is_inside
    assert row.fix == f"kubectl --kubeconfig {doctor.names.kubeconfig} -n {NAMESPACE} logs web"
    found, is_inside = reads(cluster, lambda: list(service_checks.examine(doctor, "web")))
    assert found[0].evidence.startswith(f"{NAMESPACE}/web is of type LoadBalancer") and is_inside


def test_rules_for_a_host_are_those_of_the_namespace(cluster: ApiServer, doctor: DoctorContext) -> None:
    found, is_inside = reads(cluster, lambda: cluster_checks.rule(RequestTrace(doctor, HOST, None, named=True)))
    assert found.status is Status.OK and found.evidence.startswith(f"Ingress {NAMESPACE}/web") and is_inside
