"""The Corefile: which names it leads to the ingress, and that only a change of it restarts CoreDNS."""

from __future__ import annotations

import re
import threading
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest

from sandbox.components.cluster import dns
from sandbox.components.cluster.dns import DnsStep
from sandbox.components.cluster.kind import provider as kind_provider
from sandbox.engine import ContainerSpec
from sandbox.kube import readiness
from sandbox.names import HOST, INGRESS_SERVICE, Names
from sandbox.step import State
from sandbox.system.resolvers import Upstream
from tests.support.api_server import ApiServer
from tests.support.controllers import Controllers
from tests.support.fakes import NETWORK, FakeContainer, FakeEngine, NoWork

SERVICE = "ingress.sandbox-system.svc.cluster.local"
DEPLOYMENT = "/apis/apps/v1/namespaces/kube-system/deployments/coredns"
COREFILE = "/api/v1/namespaces/kube-system/configmaps/coredns"

IN_SERVICE = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}
UPSTREAM = Upstream(("9.9.9.9",))


def corefile(domain: str, **more: Mapping[str, Any]) -> str:
    return dns.corefile(domain=domain, service=SERVICE, nameservers=["9.9.9.9", "1.1.1.1"], **more)


def rule(domain: str) -> re.Pattern[str]:
    """The names that the Corefile rewrites; CoreDNS has them with their last dot, in lower case."""
    text = corefile(domain)
    (found,) = re.findall(
        rf"^    rewrite stop name regex (\S+) {re.escape(SERVICE)}\. answer auto$", text, re.MULTILINE
    )
    return re.compile(found)


@pytest.mark.parametrize("name", ["a-b.demo.localhost.", "x.a-b.demo.localhost.", "x.y.a-b.demo.localhost."])
def test_domain_and_subdomains_resolve_to_the_ingress(name: str) -> None:
    assert rule("a-b.demo.localhost").search(name)


@pytest.mark.parametrize(
    "name",
    [
        "demo.localhost.",
        "xa-b.demo.localhost.",
        "a-b.demoxlocalhost.",
        "a-b.demo.localhost.default.svc.cluster.local.",
        f"{SERVICE}.",
    ],
)
def test_no_other_name_does(name: str) -> None:
    assert not rule("a-b.demo.localhost").search(name)


def rewritten(text: str, name: str) -> str | None:
    """What is looked up for a name, by the first rule that it fits."""
    for pattern, to in re.findall(r"^    rewrite stop name regex (\S+) (\S+)\. answer auto$", text, re.MULTILINE):
        if found := re.search(pattern, name):
            return str(to).replace("{1}", found[1] if found.lastindex else "")
    return None


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


def test_braces_are_balanced_and_the_rule_is_among_the_plugins() -> None:
    text = corefile("demo.localhost")
    assert text.count("{") == text.count("}") == 6
    assert "hosts {" not in text
    assert text.index("ready") < text.index("rewrite") < text.index("kubernetes cluster.local")


def test_only_another_configuration_restarts_it() -> None:
    one, same, other = (dns.deployment(text, None)["spec"]["template"] for text in ("a", "a", "b"))
    assert one == same
    assert one != other


def test_a_server_tells_which_configuration_it_goes_by() -> None:
    texts = [corefile("demo.localhost"), corefile("demo.localhost"), corefile("other.localhost")]
    marks = [re.findall(r"^    chaos (\w{16})$", text, re.MULTILINE) for text in texts]
    assert [len(one) for one in marks] == [1, 1, 1]
    assert marks[0] == marks[1] != marks[2]
    assert dns.probe_command("10.0.0.1", texts[0])[-1] == marks[0][0]
    assert dns.probe_command("10.0.0.1", "of another user")[-1] == ""


def test_outside_names_go_to_the_nameservers_in_order() -> None:
    zones = {"vpn.corp": ("10.8.0.1",), "corp": ("10.0.0.2", "10.0.0.3")}
    text = corefile("demo.localhost", zones=zones)
    forwards = re.findall(r"^    forward (\S+) (.*) \{\n       max_concurrent 1000\n       policy (\w+)$", text, re.M)
    assert forwards == [
        ("corp", "10.0.0.2 10.0.0.3", "sequential"),
        ("vpn.corp", "10.8.0.1", "sequential"),
        (".", "9.9.9.9 1.1.1.1", "sequential"),
    ]
    assert dns.nameservers(text) == ("10.0.0.2", "10.0.0.3", "10.8.0.1", "9.9.9.9", "1.1.1.1")
    assert dns.nameservers("") == ()


def test_single_label_names_resolve_before_forwarding() -> None:
    text = corefile("demo.localhost", hosts={"b.corp": "10.1.1.2", "a.corp": "10.1.1.1"})
    lines = [line.strip() for line in text[text.index("hosts {") :].splitlines()[:6]]
    assert lines == ["hosts {", "10.1.1.1 a.corp", "10.1.1.2 b.corp", "ttl 30", "fallthrough", "}"]
    assert text.index("rewrite") < text.index("hosts {") < text.index("forward")


def test_coredns_runs_once_near_api_server_or_twice_if_asked() -> None:
    one, several = dns.deployment("a", None)["spec"], dns.deployment("a", None, alone=False)["spec"]
    assert (one["replicas"], several["replicas"]) == (1, 2)
    assert "env" in one["template"]["spec"]["containers"][0]
    assert "env" not in several["template"]["spec"]["containers"][0]
    assert one["template"]["metadata"] != several["template"]["metadata"]


@pytest.fixture
def step(engine: FakeEngine, names: Names, server: ApiServer) -> DnsStep:
    server.objects = Controllers()
    server.objects[DEPLOYMENT] = {
        "kind": "Deployment",
        "metadata": {"name": "coredns"},
        "spec": {"replicas": 2, "template": {"metadata": {"labels": {"k8s-app": "kube-dns"}}}},
    }
    nodes = kind_provider.nodes(engine, names)
    return DnsStep(
        engine=engine,
        nodes=nodes,
        names=names,
        domain="demo.localhost",
        ingress=INGRESS_SERVICE,
        upstream=UPSTREAM,
        hosts={"db.corp": "10.0.0.5"},
    )


def test_kubeadm_deployment_is_changed_once(server: ApiServer, step: DnsStep) -> None:
    assert step.check().state is State.DRIFTED
    step.apply(NoWork())
    assert (step.check().state, step.check().detail) == (State.READY, "*.demo.localhost inside too, asks 9.9.9.9")
    assert server.objects[DEPLOYMENT]["spec"]["replicas"] == 1
    assert INGRESS_SERVICE in server.objects[COREFILE]["data"]["Corefile"]
    assert not step.undo()


def test_coredns_scaled_to_zero_is_scaled_up(server: ApiServer, step: DnsStep) -> None:
    step.apply(NoWork())
    server.objects[DEPLOYMENT]["spec"]["replicas"] = 0
    server.objects[DEPLOYMENT] = server.objects[DEPLOYMENT]  # seen by its controller
    assert (step.check().state, step.check().detail) == (State.DRIFTED, "CoreDNS is scaled to 0 pods")
    step.apply(NoWork())
    assert step.check().state is State.READY


def test_changed_configuration_is_repaired(server: ApiServer, step: DnsStep) -> None:
    step.apply(NoWork())
    before = server.objects[COREFILE]
    server.objects[COREFILE] = dns.config_map(".:53 {\n}\n")
    assert step.check().state is State.DRIFTED
    step.apply(NoWork())
    assert server.objects[COREFILE] == before


def test_a_pod_that_has_read_another_is_restarted(server: ApiServer, step: DnsStep) -> None:
    step.apply(NoWork())
    mark = server.objects[DEPLOYMENT]["spec"]["template"]["metadata"]["annotations"]
    server.objects[DEPLOYMENT]["spec"]["template"]["metadata"]["annotations"] = {dns.MARK: "old"}
    assert step.check().state is State.DRIFTED
    step.apply(NoWork())
    assert server.objects[DEPLOYMENT]["spec"]["template"]["metadata"]["annotations"] == mark


def test_without_an_ingress_names_are_left_alone(server: ApiServer, step: DnsStep) -> None:
    bare = replace(step, ingress=None)
    bare.apply(NoWork())
    assert (bare.check().state, bare.check().detail) == (State.READY, "asks 9.9.9.9")
    assert rewritten(server.objects[COREFILE]["data"]["Corefile"], f"x.{step.domain}.") is None
    assert step.check().state is State.DRIFTED


def test_changed_nameservers_or_hosts_are_drift(server: ApiServer, step: DnsStep) -> None:
    step.apply(NoWork())
    for other in (replace(step, upstream=Upstream(("1.1.1.1",))), replace(step, hosts={})):
        assert other.check().state is State.DRIFTED
        other.apply(NoWork())
        assert other.check().state is State.READY


def test_machine_has_a_name_unless_the_user_reassigns_it(server: ApiServer, step: DnsStep) -> None:
    step.apply(NoWork())
    text = server.objects[COREFILE]["data"]["Corefile"]
    assert f"172.30.0.1 {HOST}\n" in text and "10.0.0.5 db.corp\n" in text
    replace(step, hosts={HOST: "10.0.0.6"}).apply(NoWork())
    text = server.objects[COREFILE]["data"]["Corefile"]
    assert f"10.0.0.6 {HOST}\n" in text and "172.30.0.1" not in text


def test_outdated_pod_is_awaited_whatever_the_api_server_says(
    engine: FakeEngine, names: Names, server: ApiServer, step: DnsStep
) -> None:
    step.apply(NoWork())
    answers, asked = [0, dns.BEHIND, dns.OTHERWISE, dns.OTHERWISE, 0], []

    def ask(box: FakeContainer, argv: Sequence[str]) -> tuple[int, str]:
        asked.append(argv[6])
        return answers.pop(0), ""

    engine.programs["timeout"] = ask
    engine.add(
        FakeContainer(
            ContainerSpec(name=names.node, image="node", command=(), labels={}, network=NETWORK), "", read_only=False
        )
    )
    pod = {
        "kind": "Pod",
        "metadata": {"name": "coredns-1", "namespace": "kube-system", "labels": {"k8s-app": "kube-dns"}},
        "spec": {"nodeName": names.node},
    }
    place = "/api/v1/namespaces/kube-system/pods/coredns-1"
    server.objects[place] = {**pod, "status": {"podIP": "10.244.0.4", **IN_SERVICE}}
    assert step.check().state is State.READY
    assert step.check().detail == "coredns-1 does not know the cluster's Services yet"
    assert (found := step.check()).detail == "coredns-1 has not read its configuration yet"
    assert found.state is State.DRIFTED
    step.apply(NoWork())
    assert (asked, answers) == (["10.244.0.4"] * 5, [])
    assert readiness.SEEN in server.objects[place]["metadata"]["annotations"], "the kubelet is made to look"


@pytest.mark.parametrize(
    "status",
    [{"phase": "Running", "conditions": [{"type": "Ready", "status": "False"}]}, {**IN_SERVICE, "podIP": ""}],
    ids=["not ready", "without an address"],
)
def test_pod_missing_after_a_stop_counts_despite_deployment(
    engine: FakeEngine, names: Names, server: ApiServer, step: DnsStep, status: dict[str, object]
) -> None:
    step.apply(NoWork())
    engine.programs["timeout"] = lambda box, argv: (0, "")
    engine.add(
        FakeContainer(
            ContainerSpec(name=names.node, image="node", command=(), labels={}, network=NETWORK), "", read_only=False
        )
    )
    place = "/api/v1/namespaces/kube-system/pods/coredns-2"
    metadata = {"name": "coredns-2", "namespace": "kube-system", "labels": {"k8s-app": "kube-dns"}}
    server.objects[place] = {"kind": "Pod", "metadata": metadata, "spec": {"nodeName": names.node}, "status": status}
    found = step.check()
    assert found.state is State.DRIFTED
    assert found.detail.startswith("coredns-2 is not ready")
    back = {**IN_SERVICE, "podIP": "10.244.0.5"}
    timer = threading.Timer(0.3, server.objects[place].update, ({"status": back},))
    timer.start()
    step.apply(NoWork())
    timer.join()
    assert step.check().state is State.READY
    server.objects[place]["status"] = status
    server.objects[place]["metadata"] = {**metadata, "deletionTimestamp": "2026-01-01T00:00:00Z"}
    assert step.check().state is State.READY, "one that ends has no say"
    server.objects[place]["metadata"] = metadata
    server.objects[place]["status"] = {"phase": "Failed"}
    assert step.check().state is State.READY, "an evicted pod stays listed, and another is there for it"
