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
from sandbox.doctor import pod_checks, request_checks, service_checks
from sandbox.doctor.check import DoctorContext, Status
from sandbox.doctor.request_trace import RequestTrace
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


def test_reads_stay_in_the_namespace_of_the_sandbox(cluster: ApiServer) -> None:
    def read(what: Callable[[], object]) -> Any:
        cluster.asked.clear()
        found: Any = what()
        paths = [path for _, path, *_ in cluster.asked if path not in cluster.kinds]
        assert paths and all(f"/namespaces/{NAMESPACE}/" in path for path in paths)
        return found

    assert read(lambda: overview.answered_hosts("demo").hosts) == (HOST,)
    assert read(lambda: overview.host_urls("demo", None, for_others=False)) == (f"https://{HOST}:8443/",)
    sandbox = Sandbox(Spec.model_validate({"name": "demo", "domain": "demo.test", "cluster": EXISTING}))
    assert (read(lambda: sandbox.hosts), sandbox.context) == ((HOST,), "team")
    balanced = read(lambda: edge_ports.balanced([ROUTE], context.home(), FakeEngine()))
    assert [each.service for each in balanced] == [f"{NAMESPACE}/web"]
    doctor = DoctorContext(SPEC, context.home(), {}, SandboxError("no engine"), datetime.now(UTC))
    (row,) = read(lambda: list(pod_checks.examine(doctor, "web")))
    assert row.evidence.startswith(f"{NAMESPACE}/web is Pending")
    assert row.fix == f"kubectl --kubeconfig {doctor.names.kubeconfig} -n {NAMESPACE} logs web"
    service, *_ = read(lambda: list(service_checks.examine(doctor, "web")))
    assert service.evidence.startswith(f"{NAMESPACE}/web is of type LoadBalancer")
    rule = read(lambda: request_checks.rule(RequestTrace(doctor, HOST, None, named=True)))
    assert rule.status is Status.OK and rule.evidence.startswith(f"Ingress {NAMESPACE}/web")
