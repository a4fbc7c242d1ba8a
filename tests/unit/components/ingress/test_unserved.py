"""Ingresses that are not served, or not as they say: classes, hosts, annotations, TLS Secrets."""

from __future__ import annotations

import base64
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from sandbox.components.certificates.facts import describe
from sandbox.components.certificates.keystore import Keystore
from sandbox.components.certificates.subject_names import domain_names
from sandbox.components.ingress import deep_hosts
from sandbox.components.ingress.unserved import (
    PREFIX,
    class_fault,
    hosts_here,
    missing_secrets,
    notes,
    require_hosts,
    without_effect,
)
from sandbox.config.schema import Spec
from sandbox.errors import UsageError
from sandbox.kube.api import Cluster
from sandbox.names import DOMAIN_TLS, SYSTEM_NAMESPACE, Names
from tests.support.api_server import ApiServer

NETWORKING = "/apis/networking.k8s.io/v1"
DOMAIN = "demo.localhost"
OLD = "kubernetes.io/ingress.class"


def ingress(host: str = "shop.demo.localhost", *, says: dict[str, str] | None = None, **spec: Any) -> dict[str, Any]:
    metadata = {"name": "web", "namespace": "shop", "annotations": says or {}}
    tls = [{"hosts": [host], "secretName": "shop-tls"}]
    return {"metadata": metadata, "spec": {"rules": [{"host": host}], "tls": tls, **spec}}


def spec(**keys: Any) -> Spec:
    return Spec.model_validate({"name": "demo", "domain": DOMAIN, **keys})


@pytest.fixture
def cluster(names: Names, server: ApiServer) -> Cluster:
    server.objects[f"{NETWORKING}/ingressclasses/nginx"] = {"kind": "IngressClass", "metadata": {"name": "nginx"}}
    return Cluster(names.kubeconfig)


@pytest.mark.parametrize(
    ("foreign", "named"), [(ingress(ingressClassName="alb"), "alb"), (ingress(says={OLD: "gce"}), "gce")]
)
def test_class_of_another_controller_is_named_with_a_fix(cluster: Cluster, foreign: dict[str, Any], named: str) -> None:
    served = [ingress(ingressClassName="nginx"), ingress(says={OLD: "nginx"}), ingress()]
    fault = class_fault(cluster, [foreign], DOMAIN)
    assert fault and fault.id == "ingress-class"
    assert fault.brief == f"Ingress shop/web has the class '{named}', which no controller here serves"
    assert f"`ingress: {{classes: [{named}]}}`" in fault.fix
    (note,) = notes(spec(), [*served, foreign], ["nginx"])
    assert fault.brief in note and fault.fix in note
    assert class_fault(cluster, [foreign], "other.localhost") is None
    assert class_fault(cluster, [foreign, served[0]], DOMAIN) is None, "another Ingress serves its host"
    assert class_fault(cluster, served, DOMAIN) is None
    del foreign["spec"]["rules"][0]["host"]
    assert class_fault(cluster, [foreign], "other.localhost"), "it is for every host"


def test_host_outside_the_domain_is_noted_unless_the_edge_has_it() -> None:
    public = ingress("shop.example.com")
    (note,) = notes(spec(), [public])
    assert "shop.example.com is not below demo.localhost" in note
    assert "use shop.demo.localhost, or `edge: {hosts: [shop.example.com]}`" in note
    assert not list(notes(spec(edge={"hosts": ({"host": "shop.example.com"},)}), [public]))


def test_host_that_the_domains_certificate_lacks_is_noted() -> None:
    deep, plain = ingress("a.b.demo.localhost"), spec(certs={"issuer": "cert-manager"})
    assert not list(notes(plain, [deep]))
    deep["spec"]["tls"] = []
    (note,) = notes(plain, [deep])
    assert "clients refuse a.b.demo.localhost" in note and "tls.secretName" in note
    wildcard = ingress("*.wild.demo.localhost", tls=[])
    (note,) = notes(plain, [wildcard])
    assert "clients refuse *.wild.demo.localhost" in note
    assert not list(notes(spec(), [deep, wildcard]))
    assert not list(notes(plain, [ingress(tls=[]), ingress(DOMAIN, tls=[])]))


@pytest.mark.parametrize(
    ("more", "found"),
    [
        ({}, ("shop.demo.localhost",)),
        ({"edge": {"hosts": ({"host": "shop.example.com"},)}}, ("shop.demo.localhost", "shop.example.com")),
        ({"ingress": {"controller": "none"}}, ("shop.demo.localhost", "shop.example.com")),
    ],
)
def test_hosts_that_the_edge_does_not_route_are_no_addresses(more: dict[str, Any], found: tuple[str, ...]) -> None:
    assert hosts_here(spec(**more), [ingress(), ingress("shop.example.com")]) == found


def test_tls_secrets_that_are_not_there_are_found(cluster: Cluster, server: ApiServer) -> None:
    assert missing_secrets(cluster, ingress()) == ["shop-tls"]
    server.objects["/api/v1/namespaces/shop/secrets/shop-tls"] = {"kind": "Secret", "metadata": {"name": "shop-tls"}}
    assert missing_secrets(cluster, ingress()) == []
    assert missing_secrets(cluster, ingress(tls=[{"hosts": ["shop.demo.localhost"]}])) == []


def test_ingress_with_a_host_of_tls_is_refused() -> None:
    one, tls = {"kind": "Ingress", **ingress()}, {"shop.demo.localhost": "shop/db:5432"}
    with pytest.raises(UsageError, match=r"shop\.demo\.localhost is a host of Ingress shop/web and of") as caught:
        require_hosts([{"kind": "Service", "metadata": {}}, one], tls)
    assert "routes" not in caught.value.fix and caught.value.id == "domain-taken"
    require_hosts([one], {"other.demo.localhost": "shop/db:5432"})


def said(**annotations: str) -> list[str]:
    named = {f"{PREFIX}/{name.replace('_', '-')}": value for name, value in annotations.items()}
    return list(without_effect({"metadata": {"name": "web", "annotations": named}}))


@pytest.mark.parametrize(
    ("annotations", "note"),
    [
        ({"denylist_source_range": "10.0.0.0/8"}, "range has no effect: configuration-snippet with deny"),
        ({"rewritetarget": "/"}, "rewritetarget has no effect: it is not known"),
        (
            {"configuration_snippet": 'more_set_headers "a: b; gzip on;";\nsub_filter a b;  # lua;\n'},
            "configuration-snippet: the directive sub_filter is not supported, so that the host is not served",
        ),
        ({"server_snippet": "location /x { return 200 ok; }\nif ($a) { sub_filter a b; }"}, "the directive sub_filter"),
    ],
)
def test_annotation_without_effect_is_named_with_another_way(annotations: dict[str, str], note: str) -> None:
    (found,) = said(**annotations)
    assert note in found


@pytest.mark.parametrize(
    "annotations",
    [
        {"rewrite_target": "/$2", "use_regex": "true", "canary_weight": "10"},
        {"configuration_snippet": "add_header X 'a; b';\nproxy_set_header Host $host;\nif ($x) { return 403; }"},
    ],
)
def test_annotation_that_works_is_not_named(annotations: dict[str, str]) -> None:
    assert said(**annotations) == []


def test_annotation_of_another_controller_is_named_with_it() -> None:
    annotations = {"alb.ingress.kubernetes.io/scheme": "internal", "cert-manager.io/cluster-issuer": "x"}
    (note,) = without_effect({"metadata": {"annotations": annotations}})
    assert note == "alb.ingress.kubernetes.io/scheme has no effect: it is for the AWS Load Balancer Controller"


def test_the_page_is_current() -> None:
    root = Path(__file__).parents[4]
    script = [sys.executable, str(root / "scripts" / "annotations-docs")]
    page = (root / "docs" / "ingress-annotations.md").read_text(encoding="utf-8")
    assert subprocess.run(script, capture_output=True, text=True, check=True).stdout == page, "scripts/annotations-docs"


def test_deep_and_wildcard_hosts_are_added_once_to_the_domains_certificate(names: Names, server: ApiServer) -> None:
    keystore, now, cluster = Keystore(names.keys), datetime.now(UTC), Cluster(names.kubeconfig)
    keystore.authority([DOMAIN], now=now)
    keystore.leaf("domain", domain_names(DOMAIN), now=now)
    routes = "/apis/gateway.networking.k8s.io/v1"
    server.kinds[routes] = {"HTTPRoute": ("httproutes", True)}
    route = {"metadata": {"name": "api"}, "spec": {"hostnames": ["v1.api.demo.localhost"]}}
    server.objects[f"{routes}/namespaces/shop/httproutes/api"] = route
    hosts = ("web.demo.localhost", "*.wild.demo.localhost", "a.b.demo.localhost", "a.b.example.com")
    ingresses = [ingress("own.deep.demo.localhost"), *(ingress(host, tls=[]) for host in hosts)]
    added = ["*.wild.demo.localhost", "a.b.demo.localhost", "v1.api.demo.localhost"]
    assert deep_hosts.lacking(cluster, ingresses, keystore, DOMAIN) == added
    deep_hosts.add(cluster, ingresses, keystore, DOMAIN)
    secret = server.objects[f"/api/v1/namespaces/{SYSTEM_NAMESPACE}/secrets/{DOMAIN_TLS}"]
    served = describe(base64.b64decode(secret["data"]["tls.crt"]), now=now)
    assert set(served.hosts) == {*domain_names(DOMAIN), *added}
    assert deep_hosts.lacking(cluster, ingresses, keystore, DOMAIN) == []
    assert set(deep_hosts.certified(keystore, DOMAIN)) == set(added)
