"""The Services that get an Ingress."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from sandbox.init import web_services
from sandbox.init.detected import Front


def service(name: str, port: Any = 80, **spec: Any) -> dict[str, Any]:
    return {"kind": "Service", "metadata": {"name": name}, "spec": {"ports": [{"port": port}], **spec}}


@pytest.mark.parametrize(
    ("objects", "pages"),
    [
        ((service("shop", type="LoadBalancer"), service("node", type="NodePort"), service("web")), ["shop", "node"]),
        ((service("api"), service("web")), ["web"]),
        ((service("api", 8080),), ["api"]),
        ((service("api", 8080), service("shop", 443)), ["shop"]),
        ((service("a", 80), service("b", 80)), []),
        ((service("web", 5432),), []),
        ((service("web", "http"),), []),
        ((service("Web", type="NodePort"),), []),
        ((service("web", clusterIP="None"),), []),
        ((service("web"), {"kind": "HTTPRoute", "metadata": {"name": "x"}}), []),
        ((service("web"), {"kind": "Ingress", "metadata": {"name": "x"}}), []),
    ],
)
def test_services_that_are_pages_get_an_ingress_if_no_other_leads_to_them(
    objects: tuple[dict[str, Any], ...], pages: list[str]
) -> None:
    assert [front.name for front in web_services.fronts(objects)] == pages


def test_ingress_leads_to_the_service_in_its_namespace() -> None:
    text = web_services.ingresses([Front("web", "shop", 8080), Front("api", "default", 80)], "x.sandbox.localhost")
    first, second = yaml.safe_load_all(text)
    assert (first["metadata"], second["metadata"]["name"]) == ({"name": "web", "namespace": "shop"}, "api")
    rule = first["spec"]["rules"][0]
    assert rule["host"] == first["spec"]["tls"][0]["hosts"][0] == "web.x.sandbox.localhost"
    assert rule["http"]["paths"][0]["backend"] == {"service": {"name": "web", "port": {"number": 8080}}}
