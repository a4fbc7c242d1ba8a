"""The Corefile: which names it leads to the ingress, and that only a change of it restarts CoreDNS."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sandbox.components.cluster import dns
from sandbox.components.cluster.dns import DnsStep
from sandbox.components.cluster.kind.command import Kind
from sandbox.names import HOST, INGRESS_SERVICE, Names
from sandbox.step import State, Status
from tests.support import memory_nodes
from tests.support.api_server import ApiServer
from tests.support.controllers import Controllers
from tests.support.fakes import NETWORK, FakeEngine, NoWork, applied

SERVICE = "ingress.sandbox-system.svc.cluster.local"
DEPLOYMENT = "/apis/apps/v1/namespaces/kube-system/deployments/coredns"
COREFILE = "/api/v1/namespaces/kube-system/configmaps/coredns"


def corefile(domain: str, **more: Mapping[str, Any]) -> str:
    return dns.corefile(domain=domain, service=SERVICE, nameservers=["9.9.9.9", "1.1.1.1"], **more)


def rewritten(text: str, name: str) -> str | None:
    for pattern, to in re.findall(r"^    rewrite stop name regex (\S+) (\S+)\. answer auto$", text, re.MULTILINE):
        if found := re.search(pattern, name):
            return str(to).replace("{1}", found[1] if found.lastindex else "")
    return None


@pytest.mark.parametrize(
    ("name", "is_ours"),
    [
        *((name, True) for name in ("a-b.demo.localhost.", "x.a-b.demo.localhost.", "x.y.a-b.demo.localhost.")),
        *((name, False) for name in ("demo.localhost.", "xa-b.demo.localhost.", "a-b.demoxlocalhost.")),
        *((name, False) for name in ("a-b.demo.localhost.default.svc.cluster.local.", f"{SERVICE}.")),
    ],
)
def test_domain_and_subdomains_only_resolve_to_the_ingress(name: str, is_ours: bool) -> None:
    assert rewritten(corefile("a-b.demo.localhost"), name) == (SERVICE if is_ours else None)


@pytest.mark.parametrize("ingress", [SERVICE, None])
def test_services_have_names_in_the_domain(ingress: str | None) -> None:
    services = {"db.demo.localhost": "shop/db"}
    text = dns.corefile(domain="demo.localhost", service=ingress, nameservers=["9.9.9.9"], services=services)
    assert dns.service_name("shop/db", "demo.localhost") == "db.shop.svc.demo.localhost"
    assert rewritten(text, "db.shop.svc.demo.localhost.") == "db.shop.svc.cluster.local"
    assert rewritten(text, "db-0.db.shop.svc.demo.localhost.") == "db-0.db.shop.svc.cluster.local"
    assert rewritten(text, "db.demo.localhost.") == "db.shop.svc.cluster.local"
    assert rewritten(text, "web.demo.localhost.") == ingress
    assert rewritten(text, "svc.demo.localhost.") == ingress


def test_outside_names_go_to_the_nameservers() -> None:
    zones = {"vpn.corp": ("10.8.0.1",), "corp": ("10.0.0.2", "10.0.0.3")}
    text = corefile("demo.localhost", zones=zones)
    forwards = re.findall(r"^    forward (\S+) (.*) \{\n       max_concurrent 1000\n    \}$", text, re.M)
    assert forwards == [("corp", "10.0.0.2 10.0.0.3"), ("vpn.corp", "10.8.0.1"), (".", "9.9.9.9 1.1.1.1")]
    assert dns.nameservers(text) == ("10.0.0.2", "10.0.0.3", "10.8.0.1", "9.9.9.9", "1.1.1.1")
    assert dns.nameservers("") == ()


@pytest.fixture
def step(engine: FakeEngine, names: Names, server: ApiServer) -> DnsStep:
    server.objects = Controllers()
    server.objects[DEPLOYMENT] = {
        "kind": "Deployment",
        "metadata": {"name": "coredns"},
        "spec": {"template": {"metadata": {"labels": {"k8s-app": "kube-dns"}}}},
    }
    provider = memory_nodes.provider(engine, names, Kind(Path("kind"), NETWORK))
    return DnsStep(names, replace(provider.dns, ingress=INGRESS_SERVICE, hosts={"db.corp": "10.0.0.5"}))


def test_changed_configuration_is_repaired(server: ApiServer, step: DnsStep) -> None:
    assert step.check().state is State.DRIFTED
    assert applied(step) == Status(State.READY, "*.demo.localhost inside too, asks 9.9.9.9")
    before = server.objects[COREFILE]
    server.objects[COREFILE] = dns.config_map(".:53 {\n}\n")
    assert step.check().state is State.DRIFTED
    step.apply(NoWork())
    assert server.objects[COREFILE]["data"] == before["data"]
    server.objects[DEPLOYMENT]["spec"]["replicas"] = 0
    server.objects[DEPLOYMENT] = server.objects[DEPLOYMENT]  # seen by its controller
    assert step.check() == Status(State.DRIFTED, "CoreDNS is scaled to 0 pods")
    step.apply(NoWork())
    assert server.objects[DEPLOYMENT]["spec"]["replicas"] == 2
    assert step.check().state is State.READY
    server.objects[DEPLOYMENT]["spec"]["template"]["metadata"]["annotations"][dns.MARK] = "other"
    assert step.check().detail == "pods with another configuration"


def test_machine_has_a_name_unless_the_user_reassigns_it(server: ApiServer, step: DnsStep) -> None:
    step.apply(NoWork())
    text = server.objects[COREFILE]["data"]["Corefile"]
    assert f"172.30.0.1 {HOST}\n" in text and "10.0.0.5 db.corp\n" in text
    bare = replace(step, dns=replace(step.dns, ingress=None, hosts={HOST: "10.0.0.6"}))
    assert applied(bare) == Status(State.READY, "asks 9.9.9.9")
    text = server.objects[COREFILE]["data"]["Corefile"]
    assert f"10.0.0.6 {HOST}\n" in text and "172.30.0.1" not in text
