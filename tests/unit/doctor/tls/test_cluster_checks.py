"""The steps inside the cluster, against objects in a small API server and an answering TLS server."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from sandbox.components.certificates.facts import KeyPair
from sandbox.components.edge import routes
from sandbox.components.edge.route import Host, Port
from sandbox.components.ingress import page, served_hosts
from sandbox.config.schema import Ingress, ResolvedSpec
from sandbox.config.schema.cluster_schema import Cluster
from sandbox.doctor.check import Status
from sandbox.doctor.tls import cluster_checks
from sandbox.doctor.tls.tls_context import RequestTrace
from sandbox.plan import saved_spec
from tests.support.api_server import ApiServer
from tests.unit.doctor.tls.conftest import DOMAIN, Serve, ingress

WEB = "/api/v1/namespaces/web"
SLICES = "/apis/discovery.k8s.io/v1/namespaces/web/endpointslices"


def service(server: ApiServer, **spec: Any) -> None:
    server.objects[f"{WEB}/services/app"] = {
        "spec": {"ports": [{"port": 80, "name": "http"}], "selector": {"app": "web"}, **spec}
    }


def endpoints(server: ApiServer, *ready: bool) -> None:
    found = [{"addresses": [f"10.244.0.{n}"], "conditions": {"ready": one}} for n, one in enumerate(ready, 2)]
    server.objects[f"{SLICES}/app-x"] = {
        "metadata": {"name": "app-x", "labels": {"kubernetes.io/service-name": "app"}},
        "endpoints": found,
    }


def test_a_host_without_a_rule(trace: RequestTrace, server: ApiServer) -> None:
    found = cluster_checks.rule(trace)
    assert found.status is Status.ERROR and "kubectl --context sandbox-demo create ingress" in found.fix
    assert cluster_checks.rule(replace(trace, host=DOMAIN)).status is Status.WARN


def test_host_of_a_server_outside_needs_no_rule(trace: RequestTrace, serve: Serve, default: KeyPair) -> None:
    (known,) = routes.load(trace.context.home.edge)
    routes.save(trace.context.home.edge, replace(known, hosts=(Host(trace.host, True, "localhost:3000"),)))
    assert cluster_checks.rule(trace).evidence == "the edge routes it to localhost:3000, outside the cluster"
    assert cluster_checks.endpoints(trace).status is Status.SKIPPED
    with serve(default, b"HTTP/1.1 503 Service Unavailable\r\n\r\n"):
        found = cluster_checks.answer(trace)
    assert found.evidence == "HTTP 503: the edge does not reach localhost:3000" and "edge status" in found.fix
    with serve(default):
        assert cluster_checks.answer(trace).status is Status.OK


def test_host_of_edge_tls_needs_no_rule(trace: RequestTrace) -> None:
    (known,) = routes.load(trace.context.home.edge)
    port = Port(known.listen[0][1], "shop/db:5432", host=trace.host)
    routes.save(trace.context.home.edge, replace(known, ports=(port,)))
    assert cluster_checks.rule(trace).evidence == "the edge routes its TLS to the Service shop/db:5432"
    assert cluster_checks.endpoints(trace).evidence == "sandbox doctor service shop/db checks them"
    assert cluster_checks.answer(trace).status is Status.SKIPPED


def test_a_rule_of_another_controller(trace: RequestTrace, server: ApiServer) -> None:
    ingress(server, trace.host, ingressClassName="kong")
    found = cluster_checks.rule(trace)
    wrong = "Ingress web/app has the class kong, which the sandbox's controller does not serve"
    assert (found.status, found.evidence) == (Status.ERROR, wrong)
    kong = {"metadata": {"name": "kong"}, "spec": {"controller": "kong/x"}}
    server.objects["/apis/networking.k8s.io/v1/ingressclasses/kong"] = kong
    assert cluster_checks.rule(replace(trace)).evidence == wrong
    kong["spec"] = {"controller": served_hosts.SERVED_BY}
    found = cluster_checks.rule(replace(trace))
    assert (found.status, found.evidence) == (Status.OK, "Ingress web/app")


@pytest.mark.parametrize(
    ("controller", "served"), [(Ingress(), "sandbox"), (Ingress(controller="none", class_name="kong"), "kong")]
)
def test_advised_class_is_one_that_is_served(
    trace: RequestTrace, server: ApiServer, controller: Ingress, served: str
) -> None:
    existing = Cluster(provider="existing", context="team", namespace="web")
    saved_spec.save(trace.names, ResolvedSpec(name="demo", cluster=existing, ingress=controller))
    assert f" -n web create ingress NAME --class {served} --rule" in cluster_checks.rule(replace(trace)).fix
    ingress(server, trace.host, within="web", ingressClassName="nginx")
    found = cluster_checks.rule(replace(trace))
    assert found.evidence.endswith(f"has the class nginx, and the sandbox serves {served}")
    assert f'"ingressClassName": "{served}"' in found.fix
    ingress(server, trace.host, within="web", ingressClassName=served)
    assert cluster_checks.rule(replace(trace)).status is Status.OK


def test_missing_secret_is_a_warning_that_names_the_ingress_to_edit(trace: RequestTrace, server: ApiServer) -> None:
    ingress(server, trace.host, tls=[{"hosts": [trace.host], "secretName": "lost"}])
    found = cluster_checks.rule(trace)
    assert found.status is Status.WARN and "the Secret web/lost is missing" in found.evidence
    assert found.fix.endswith("-n web edit ingress app")


def test_service_without_a_ready_pod_is_an_error(trace: RequestTrace, server: ApiServer) -> None:
    ingress(server, trace.host)
    assert cluster_checks.endpoints(trace).evidence == "Ingress web/app: there is no Service web/app"
    service(server)
    assert cluster_checks.endpoints(trace).evidence.endswith("no pod has the labels app=web")
    endpoints(server, False)
    waiting = {"containerStatuses": [{"state": {"waiting": {"reason": "ImagePullBackOff"}}}], "phase": "Pending"}
    pod = {"metadata": {"name": "web-1", "labels": {"app": "web"}}, "status": waiting}
    server.objects[f"{WEB}/pods/web-1"] = pod
    server.objects[f"{WEB}/pods/other"] = {"metadata": {"name": "other-1"}, "status": waiting}
    found = cluster_checks.endpoints(trace)
    assert found.status is Status.ERROR and found.evidence.endswith("web-1 ImagePullBackOff")
    endpoints(server, True, False, True)
    found = cluster_checks.endpoints(trace)
    assert (found.status, found.evidence) == (Status.OK, "every Service has a ready pod")


@pytest.mark.parametrize(
    ("answer", "status", "words"),
    [
        (b"HTTP/1.1 200 OK\r\n\r\nhello", Status.OK, "HTTP 200"),
        (b"HTTP/1.1 404 Not Found\r\n\r\nno such page", Status.OK, "HTTP 404"),
        (b"HTTP/1.1 503 No\r\n\r\n", Status.ERROR, "does not reach"),
        (b"HTTP/1.1 404 No\r\n\r\n" + page.render("demo", (), port=443).encode(), Status.ERROR, "unknown hosts"),
        (b"220 mail\r\n", Status.ERROR, "220 mail"),
    ],
)
def test_answer_of_the_application_is_judged(
    trace: RequestTrace, serve: Serve, default: KeyPair, answer: bytes, status: Status, words: str
) -> None:
    with serve(default, answer):
        found = cluster_checks.answer(trace)
    assert found.status is status and words in found.evidence
