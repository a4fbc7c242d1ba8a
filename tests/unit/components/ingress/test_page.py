"""The page for unknown hosts, and the hosts that it lists."""

from __future__ import annotations

import html
import re
from dataclasses import replace
from typing import Any

import pytest

from sandbox.components.ingress.page import Page, PageStep, is_default, render
from sandbox.components.ingress.served_hosts import hosts_of, paths_of
from sandbox.kube.api import Cluster
from sandbox.kube.readiness import SEEN
from sandbox.names import SYSTEM_NAMESPACE, Names
from sandbox.plan import lifecycle
from sandbox.report import Reporter
from sandbox.step import State
from tests.support.api_server import ApiServer
from tests.support.fakes import NoWork

PAGE = f"/api/v1/namespaces/{SYSTEM_NAMESPACE}/configmaps/page"
POD = f"/api/v1/namespaces/{SYSTEM_NAMESPACE}/pods/traefik-1"
INGRESS = "/apis/networking.k8s.io/v1/ingresses/a"


def test_names_are_text_in_a_page_of_plain_html() -> None:
    names = ["<script>x</script>", '"><img src=x>.test', "{name}"]
    page = render(names[0], names[1:], port=443)
    assert all(html.escape(name) in page for name in names)
    assert not re.search("<(script|img|link|iframe)", page)
    assert is_default(page[:400]) and not is_default("<title>another</title>")


def test_hosts_are_each_named_once_and_wildcards_are_no_links() -> None:
    rules = [{"host": "b.test"}, {"http": {}}, {"host": "*.c.test"}, {"host": "a.test"}, {"host": "b.test"}]
    damaged = ["x", {"rules": None}, {"rules": 1}, {"rules": ["x"]}, {"rules": [{"host": ["a.test"]}, {"host": 1}]}]
    specs: list[Any] = [{"rules": rules[:3]}, {"rules": rules[3:]}, *damaged]
    assert hosts_of([{}, *({"spec": spec} for spec in specs)]) == ("a.test", "b.test")


@pytest.fixture
def step(names: Names, server: ApiServer) -> PageStep:
    server.objects[INGRESS] = {"metadata": {"name": "a"}, "spec": {"rules": [{"host": "a.test"}]}}
    return PageStep(Page(sandbox="demo", port=8443, elsewhere=("away.test",)), lambda: Cluster(names.kubeconfig))


def test_ingress_of_the_user_is_no_drift_and_shown_by_the_next_up(server: ApiServer, step: PageStep) -> None:
    server.objects[POD] = {"metadata": {"name": "traefik-1", "namespace": SYSTEM_NAMESPACE}}
    lifecycle.up([step], Reporter())
    before = server.objects[POD]["metadata"]["annotations"][SEEN]
    server.objects[INGRESS]["spec"]["rules"].append({"host": "b.test"})
    assert step.check().state is State.READY
    assert not lifecycle.up([step], Reporter()), "nothing is reported as changed"
    assert "https://b.test:8443/" in server.objects[PAGE]["data"]["404.html"]
    assert server.objects[POD]["metadata"]["annotations"][SEEN] != before, "the kubelet refreshes the page"


def test_hosts_with_connections_of_their_own_are_refused_on_others(server: ApiServer, step: PageStep) -> None:
    passed = {"annotations": {"nginx.ingress.kubernetes.io/ssl-passthrough": "true"}, "name": "p"}
    server.objects[f"{INGRESS}p"] = {"metadata": passed, "spec": {"rules": [{"host": "own.test"}]}}
    step.apply(NoWork())
    data = server.objects[PAGE]["data"]
    assert "HostRegexp(`^(away[.]test|own[.]test)$`)" in data["misdirected.yaml"]
    assert "https://own.test:8443/" in data["404.html"] and data["httpd.conf"] == "E404:/page/404.html\n"
    assert replace(step.page, elsewhere=()).empty()["data"]["misdirected.yaml"] == ""


def test_routes_of_the_gateway_api_are_listed(server: ApiServer, step: PageStep) -> None:
    server.kinds["/apis/gateway.networking.k8s.io/v1"] = {
        kind: (f"{kind.lower()}s", True) for kind in ("HTTPRoute", "GRPCRoute", "TLSRoute")
    }
    for kind, host in (("httproutes", "http.test"), ("tlsroutes", "tls.test")):
        live = {"metadata": {"name": "r"}, "spec": {"hostnames": [host]}}
        server.objects[f"/apis/gateway.networking.k8s.io/v1/{kind}/r"] = live
    step.apply(NoWork())
    data = server.objects[PAGE]["data"]
    assert "https://http.test:8443/" in data["404.html"] and "https://tls.test:8443/" in data["404.html"]
    assert "tls[.]test" in data["misdirected.yaml"] and "http[.]test" not in data["misdirected.yaml"]


def rule(host: str, *paths: str) -> dict[str, Any]:
    return {"host": host, "http": {"paths": [{"path": path} for path in paths]}}


def test_a_path_at_which_each_host_is_served_is_found() -> None:
    rules = [rule("a.b", "/api", "/"), rule("c.d", "/long/path", "/api"), rule("e.f", "/v[0-9]+", "/api(/|$)(.*)")]
    more = [{"host": "g.h"}, rule("e.f", "/other"), rule("i.j", "/x.*")]
    paths = paths_of([{"spec": {"rules": rules}}, {"spec": {"rules": more}}])
    assert paths == {"a.b": "/", "c.d": "/api", "e.f": "/other", "g.h": "/", "i.j": ""}
    by_default = {"spec": {"rules": [rule("k.l", "/api")], "defaultBackend": {"service": {"name": "x"}}}}
    assert paths_of([by_default]) == {"k.l": "/"}
