"""The page for unknown hosts, read as a browser reads it."""

from __future__ import annotations

from dataclasses import replace
from html.parser import HTMLParser
from typing import Any

import pytest

from sandbox.components.ingress.page import Page, PageStep, is_default, render
from sandbox.components.ingress.served_hosts import hosts_of, paths_of
from sandbox.kube.api import Cluster
from sandbox.kube.readiness import SEEN
from sandbox.names import SYSTEM_NAMESPACE, Names
from sandbox.plan import lifecycle
from sandbox.report import Silent
from sandbox.step import State
from tests.support.api_server import ApiServer
from tests.support.fakes import NoWork

PAGE = f"/api/v1/namespaces/{SYSTEM_NAMESPACE}/configmaps/page"
POD = f"/api/v1/namespaces/{SYSTEM_NAMESPACE}/pods/traefik-1"
INGRESS = "/apis/networking.k8s.io/v1/ingresses/a"


class Reader(HTMLParser):
    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.text = ""
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)

    def handle_data(self, data: str) -> None:
        self.text += data


def test_names_are_text_in_a_page_of_plain_html() -> None:
    html = render("<script>x</script>", ['"><img src=x>.test', "{name}"], port=443)
    page = Reader(html)
    assert {"script", "img", "link", "iframe"} & page.tags == set()
    assert all(name in page.text for name in ('"><img src=x>.test', "<script>x</script>", "{name}"))
    assert is_default(html[:400]) and not is_default("<title>another</title>")


def test_hosts_are_each_named_once_and_wildcards_are_no_links() -> None:
    def ingress(*hosts: str | None) -> dict[str, Any]:
        return {"spec": {"rules": [{"host": host} if host else {"http": {}} for host in hosts]}}

    ingresses: list[dict[str, Any]] = [
        ingress("b.test", None, "*.c.test"),
        ingress("a.test", "b.test"),
        {},
        {"spec": {"rules": None}},
    ]
    assert hosts_of(ingresses) == ("a.test", "b.test")


@pytest.mark.parametrize("spec", ["x", {"rules": 1}, {"rules": ["x"]}, {"rules": [{"host": ["a.test"]}, {"host": 1}]}])
def test_rules_of_another_form_have_no_hosts(spec: Any) -> None:
    assert hosts_of([{"spec": spec}]) == ()


@pytest.fixture
def step(names: Names, server: ApiServer) -> PageStep:
    server.objects[INGRESS] = {"metadata": {"name": "a"}, "spec": {"rules": [{"host": "a.test"}]}}
    return PageStep(Page(sandbox="demo", port=8443, elsewhere=("away.test",)), lambda: Cluster(names.kubeconfig))


def test_ingress_of_the_user_is_no_drift_and_shown_by_the_next_up(server: ApiServer, step: PageStep) -> None:
    server.objects[POD] = {"metadata": {"name": "traefik-1", "namespace": SYSTEM_NAMESPACE}}
    lifecycle.up([step], Silent())
    before = server.objects[POD]["metadata"]["annotations"][SEEN]
    server.objects[INGRESS]["spec"]["rules"].append({"host": "b.test"})
    assert step.check().state is State.READY
    assert not lifecycle.up([step], Silent()), "nothing is reported as changed"
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
