"""Which way a request takes: what is asked, and what the edge's maps make of it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sandbox.components.edge import routes
from sandbox.components.edge.route import Host, Port, Route
from sandbox.doctor import request_checks
from sandbox.doctor.check import Status
from sandbox.doctor.request_trace import RequestTrace, parse
from sandbox.errors import UsageError
from tests.support.api_server import ApiServer
from tests.unit.doctor.conftest import DOMAIN, HOST, ingress


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("App.Demo.test", "app.demo.test", None),
        ("https://app.demo.test:8443/path?a=b:c", "app.demo.test", 8443),
        ("HTTPS://app.demo.test?next=https://b.test:1/", "app.demo.test", None),
    ],
)
def test_target_is_parsed(text: str, host: str, port: int | None) -> None:
    assert parse(text) == (host, port)


@pytest.mark.parametrize("text", ["", "a_b.test", "a.test:x", "a.test:0", "a.test:²", "https://user:secret@a.test/"])
def test_invalid_host_is_refused_without_showing_a_password(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse(text)
    assert "secret" not in f"{caught.value.brief} {caught.value.details} {caught.value.fix}"


def route(name: str, domain: str, since: float) -> Route:
    return Route(name, domain, f"node-{name}", (("0.0.0.0", 443),), since)  # noqa: S104


@pytest.mark.parametrize(
    ("host", "name"),
    [
        ("a.test", "a"),
        ("x.b.a.test", "b"),
        ("api.example.test", "a"),
        ("db.b.a.test", "a"),
        ("x.a.10.0.0.1.nip.io", "a"),
        ("xa.test", None),
    ],
)
def test_route_is_the_one_that_haproxy_takes(trace: RequestTrace, host: str, name: str | None) -> None:
    mine = replace(
        route("a", "a.test", 1),
        hosts=(Host("api.example.test", True, "localhost:3000"),),
        aliases=("a.10.0.0.1.nip.io",),
        ports=(Port(443, "shop/db:5432", host="db.b.a.test"),),
    )
    for known in (mine, route("b", "b.a.test", 2), route("c", "c.test", 3)):
        routes.save(trace.context.home.edge, known)
    request = replace(trace, host=host)
    assert (request.route.name if request.route else None) == name
    assert request.names.name == (name or "c"), "the newest sandbox shows the page for unknown hosts"
    assert request.which == f" -n {name or 'c'}" and request.address == "127.0.0.1"


def names(trace: RequestTrace, host: str = HOST) -> list[str]:
    return [ingress["metadata"]["name"] for ingress in replace(trace, host=host).ingresses]


def test_an_exact_host_goes_before_a_wildcard_and_that_before_any(trace: RequestTrace, server: ApiServer) -> None:
    ingress(server, name="any")
    assert names(trace) == ["any"]
    ingress(server, f"*.{DOMAIN}", name="all")
    assert names(trace) == ["all"] and names(trace, f"a.b.{DOMAIN}") == ["any"]
    ingress(server, HOST, "other.test", name="one")
    assert names(trace) == ["one"]


def test_routes_of_the_gateway_api_name_hosts_too(trace: RequestTrace, server: ApiServer) -> None:
    server.kinds["/apis/gateway.networking.k8s.io/v1"] = {"HTTPRoute": ("httproutes", True)}
    metadata = {"name": "r", "namespace": "web"}
    accepted = {"type": "Accepted", "status": "True"}
    found = {
        "metadata": metadata,
        "spec": {"hostnames": [f"*.{DOMAIN}"]},
        "status": {"parents": [{"conditions": [accepted]}]},
    }
    server.objects["/apis/gateway.networking.k8s.io/v1/httproutes/r"] = found
    assert names(trace) == names(trace, f"a.b.{DOMAIN}") == ["r"]
    assert request_checks.rule(trace).evidence == "HTTPRoute web/r"
    assert request_checks.endpoints(trace).status is Status.SKIPPED
    accepted |= {"status": "False", "message": "no listener"}
    refused = request_checks.rule(replace(trace))
    assert (refused.status, refused.evidence) == (Status.ERROR, "HTTPRoute web/r: Accepted is False: no listener")
    assert refused.fix.endswith("-n web describe httproute r")
    del found["status"]
    assert request_checks.rule(replace(trace)).evidence == "HTTPRoute web/r: no Gateway has accepted it"
