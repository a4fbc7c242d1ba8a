"""The Services that get an Ingress."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from sandbox.init import web_services
from sandbox.init.detected import Front


def service(name: str, port: Any = 80, **spec: Any) -> dict[str, Any]:
    return {"kind": "Service", "metadata": {"name": name}, "spec": {"ports": [{"port": port}], **spec}}


def names(*objects: dict[str, Any]) -> list[str]:
    return [front.name for front in web_services.fronts(objects)]


def test_services_of_a_cloud_s_types_go_before_names() -> None:
    balanced, named = service("shop", type="LoadBalancer"), service("web")
    assert names(balanced, service("node", type="NodePort"), named) == ["shop", "node"]
    assert names(service("api"), named) == ["web"]


def test_single_service_or_single_one_on_a_web_port_is_the_page() -> None:
    assert names(service("api", 8080)) == ["api"]
    assert names(service("api", 8080), service("shop", 443)) == ["shop"]
    assert names(service("a", 80), service("b", 80)) == []


@pytest.mark.parametrize("kind", sorted(web_services.ROUTES))
def test_no_ingress_is_written_next_to_a_route(kind: str) -> None:
    assert names(service("web"), {"kind": kind, "metadata": {"name": "x"}}) == []


@pytest.mark.parametrize(
    "wrong",
    [
        service("web", 5432),
        service("web", "http"),
        service("Web", type="NodePort"),
        service("web", clusterIP="None"),
        {"kind": "Service", "metadata": {"name": "web"}, "spec": {"ports": []}},
    ],
)
def test_service_that_is_no_page_gets_none(wrong: dict[str, Any]) -> None:
    assert names(wrong) == []


def test_ingress_leads_to_the_service_in_its_namespace() -> None:
    text = web_services.ingresses([Front("web", "shop", 8080), Front("api", "default", 80)], "x.sandbox.localhost")
    first, second = yaml.safe_load_all(text)
    assert (first["metadata"], second["metadata"]["name"]) == ({"name": "web", "namespace": "shop"}, "api")
    rule = first["spec"]["rules"][0]
    assert rule["host"] == first["spec"]["tls"][0]["hosts"][0] == "web.x.sandbox.localhost"
    assert rule["http"]["paths"][0]["backend"] == {"service": {"name": "web", "port": {"number": 8080}}}
