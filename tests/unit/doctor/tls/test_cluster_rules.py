"""What is found for a host among a cluster's Ingresses and HTTPRoutes."""

from __future__ import annotations

from typing import Any

import pytest

from sandbox.doctor.tls import cluster_rules
from sandbox.doctor.tls.cluster_rules import Backend
from sandbox.doctor.tls.tls_context import RequestTrace
from sandbox.kube.api import Cluster
from tests.support.api_server import ApiServer
from tests.unit.doctor.tls.conftest import DOMAIN, HOST, ingress


def find(trace: RequestTrace, host: str = HOST) -> list[str]:
    return [str(rule) for rule in cluster_rules.find(Cluster(trace.names.kubeconfig), host)]


def test_an_exact_host_goes_before_a_wildcard(trace: RequestTrace, cluster: ApiServer) -> None:
    ingress(cluster, f"*.{DOMAIN}", name="all")
    assert find(trace) == ["Ingress web/all"]
    ingress(cluster, HOST, "other.test", name="one")
    assert find(trace) == ["Ingress web/one"]
    assert find(trace, f"a.b.{DOMAIN}") == find(trace, DOMAIN) == []


def test_each_rule_has_its_message(trace: RequestTrace, cluster: ApiServer) -> None:
    ingress(
        cluster,
        HOST,
        annotations={"kubernetes.io/ingress.class": "nginx", "nginx.ingress.kubernetes.io/ssl-passthrough": "true"},
        tls=[{"hosts": ["other.test"], "secretName": "no"}, {"hosts": [f"*.{DOMAIN}"], "secretName": "yes"}],
    )
    (rule,) = cluster_rules.find(Cluster(trace.names.kubeconfig), HOST)
    assert (rule.class_name, rule.passthrough, rule.secret) == ("nginx", True, "yes")
    assert rule.backends == (Backend("app", 80),)


def test_ingress_for_any_host_is_used_where_none_names_it(trace: RequestTrace, cluster: ApiServer) -> None:
    ingress(cluster, name="any")
    spec = next(iter(cluster.objects.values()))["spec"]
    spec["rules"] = [{"http": {"paths": [{"backend": {"service": {"name": "all", "port": {"number": 80}}}}]}}]
    (rule,) = cluster_rules.find(Cluster(trace.names.kubeconfig), HOST)
    assert (rule.host, rule.backends) == ("", (Backend("all", 80),))
    spec |= {"rules": None, "defaultBackend": {"service": {"name": "rest", "port": {"number": 81}}}}
    (rule,) = cluster_rules.find(Cluster(trace.names.kubeconfig), HOST)
    assert rule.backends == (Backend("rest", 81),)
    ingress(cluster, f"*.{DOMAIN}", name="all")
    assert find(trace) == ["Ingress web/all"]


@pytest.mark.parametrize(
    ("status", "trouble"),
    [
        ({}, "no Gateway has accepted it"),
        ({"parents": [{"conditions": [{"type": "Accepted", "status": "True"}]}]}, ""),
        ({"parents": [{"conditions": [{"type": "A", "status": "False", "message": "none"}]}]}, "A is False: none"),
    ],
)
def test_routes_of_the_gateway_api(
    trace: RequestTrace, cluster: ApiServer, status: dict[str, Any], trouble: str
) -> None:
    cluster.kinds["/apis/gateway.networking.k8s.io/v1"] = {"HTTPRoute": ("httproutes", True)}
    references = [{"name": "app", "port": 80, "namespace": "shop"}, {"name": "x", "kind": "TraefikService"}]
    cluster.objects["/apis/gateway.networking.k8s.io/v1/httproutes/r"] = {
        "metadata": {"name": "r", "namespace": "web"},
        "spec": {"rules": [{"backendRefs": references}], **({"hostnames": [f"*.{DOMAIN}"]} if status else {})},
        "status": status,
    }
    (rule,) = cluster_rules.find(Cluster(trace.names.kubeconfig), f"a.b.{DOMAIN}")
    assert (str(rule), rule.backends, rule.trouble) == ("HTTPRoute web/r", (Backend("app", 80, "shop"),), trouble)
