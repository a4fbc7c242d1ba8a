"""How nodes and pods use a company's network: its proxy, its certificates and its nameservers."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from sandbox.components.certificates.keystore import Keystore
from sandbox.components.cluster import dns, pod_proxy
from sandbox.components.cluster.company_ca import CompanyCa
from sandbox.components.cluster.dns import Dns, DnsStep
from sandbox.components.cluster.kind.command import Kind
from sandbox.components.cluster.pod_proxy import PodProxyStep
from sandbox.components.network.proxy_settings import Proxies
from sandbox.engine import ContainerSpec
from sandbox.errors import UsageError
from sandbox.names import HOST, INGRESS_SERVICE, Names
from sandbox.step import State, Status
from sandbox.system.resolvers import Upstream
from tests.support import memory_nodes
from tests.support.api_server import POLICIES, ApiServer
from tests.support.controllers import Controllers
from tests.support.fakes import NETWORK, FakeContainer, FakeEngine, NoWork, applied
from tests.support.trust_roots import stranger

VARIABLES = {"HTTPS_PROXY": 'http://u:p%41"\\@p:3128', "NO_PROXY": "a,b"}
POLICY = "/apis/admissionregistration.k8s.io/v1/mutatingadmissionpolicies/sandbox-proxy"
SECRET = "http://user:secret@proxy.example.com:3128"  # no one's


def test_the_unit_has_the_variables_and_no_others() -> None:
    assert pod_proxy.drop_in(VARIABLES).splitlines() == [
        "[Service]",
        'Environment="HTTPS_PROXY=http://u:p%%41\\"\\\\@p:3128"',
        'Environment="NO_PROXY=a,b"',
        "UnsetEnvironment=HTTP_PROXY http_proxy https_proxy no_proxy",
    ]


@pytest.fixture
def step(engine: FakeEngine, names: Names, server: ApiServer) -> PodProxyStep:
    server.kinds[f"/apis/{pod_proxy.API}"] = dict(POLICIES)
    provider = memory_nodes.provider(engine, names, Kind(Path("kind"), NETWORK))
    return PodProxyStep(names, replace(provider.proxied, proxies=Proxies(https=SECRET, direct=(".corp",))))


def without(step: PodProxyStep) -> PodProxyStep:
    return replace(step, proxied=replace(step.proxied, proxies=Proxies()))


@pytest.mark.fault(54)
def test_no_proxy_has_internal_and_user_exceptions(step: PodProxyStep) -> None:
    """A proxy and NO_PROXY → pods, Services and loopback are spared as well."""
    proxied = replace(step.proxied, proxies=Proxies(https=SECRET, direct=("corp", "localhost")))
    variables = proxied.variables()
    assert variables.keys() == {"HTTPS_PROXY", "NO_PROXY"} and variables["HTTPS_PROXY"] == SECRET
    assert variables["NO_PROXY"].split(",") == [
        *("localhost", "127.0.0.1", ".svc", ".cluster.local", "10.244.0.0/16", "10.96.0.0/16", "172.30.0.0/16"),
        *("demo.localhost", ".demo.localhost", step.names.node, step.names.registry, HOST, "corp"),
    ]
    assert replace(proxied, proxies=Proxies(direct=("corp",))).variables() == {}


def test_only_the_variables_of_the_proxy_are_compared(step: PodProxyStep) -> None:
    output = "".join(f"{name}={value}\n" for name, value in step.proxied.variables().items()) + "MY_PROXY=x\n"
    assert step.proxied.is_shown(output) and not step.proxied.is_shown("")
    assert without(step).proxied.is_shown("") and not without(step).proxied.is_shown(output)


def test_a_policy_comes_changes_and_goes_with_the_proxy(server: ApiServer, step: PodProxyStep) -> None:
    assert step.check().state is State.DRIFTED
    step.apply(NoWork())
    spec = server.objects[POLICY]["spec"]
    assert spec["matchConstraints"]["namespaceSelector"] == {"matchLabels": {"sandbox.dev/proxy": "true"}}
    values = json.loads(spec["variables"][0]["expression"])
    assert (values["HTTPS_PROXY"], values["https_proxy"]) == (SECRET, SECRET)
    ready = step.check()
    assert ready.state is State.READY and "proxy.example.com" in ready.detail and "secret" not in ready.detail
    other = replace(step, proxied=replace(step.proxied, proxies=Proxies(http="http://other:1")))
    assert other.check().state is State.DRIFTED
    assert without(step).check().state is State.DRIFTED
    without(step).apply(NoWork())
    assert POLICY not in server.objects
    assert without(step).check() == Status(State.READY, "none")
    assert not step.undo()


@pytest.mark.security(17)
def test_pods_of_a_fetched_spec_get_no_account_of_the_proxy(server: ApiServer, step: PodProxyStep) -> None:
    """A fetched spec labels a namespace sandbox.dev/proxy=true → its pods get the proxy's address, no password."""
    step.apply(NoWork())
    fetched = replace(step, with_account=False)
    assert fetched.check().state is State.DRIFTED, "pods of the user's own spec of this name had it"
    fetched.apply(NoWork())
    said = json.dumps(server.objects[POLICY])
    assert "http://proxy.example.com:3128" in said and "secret" not in said
    assert fetched.check().state is State.READY


def test_kubernetes_without_mutating_policies_gets_none(server: ApiServer, step: PodProxyStep) -> None:
    del server.kinds[f"/apis/{pod_proxy.API}"]
    found = step.check()
    assert found.state is State.READY and "cannot tell pods" in found.detail
    assert without(step).check().state is State.READY


@pytest.mark.parametrize(
    ("content", "word"),
    [
        (b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "holds a private key"),
        (b"\x30\x82\x01\x00", "holds no valid PEM certificate"),
        (b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "holds no valid PEM certificate"),
        (None, "cannot be read"),
    ],
)
def test_a_file_that_is_no_ca_is_refused(tmp_path: Path, content: bytes | None, word: str) -> None:
    file = tmp_path / "company.pem"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(UsageError, match=word):
        _ = CompanyCa(file).pem
    with pytest.raises(UsageError, match="/dev/zero cannot be read"):
        _ = CompanyCa(Path("/dev/zero")).pem


def test_certificates_of_the_administrator_are_taken_once(tmp_path: Path, names: Names) -> None:
    company, folder = stranger("Acme"), tmp_path / "usr/local/share/ca-certificates"
    folder.mkdir(parents=True)
    assert CompanyCa("auto", tmp_path).pem == b""
    (folder / "acme.crt").write_bytes(b"Subject: CN=Acme\r\n" + company.replace(b"\n", b"\r\n") + b"\n" + company)
    (folder / "broken.crt").write_bytes(b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
    (folder / "notes.txt").write_bytes(company)
    keystore = Keystore(names.keys)
    keystore.authority(["demo.localhost"], now=datetime.now(UTC))
    (folder / "sandbox.crt").write_bytes(keystore.root.read().cert_pem)
    assert CompanyCa("auto", tmp_path).pem == company
    assert CompanyCa("none", tmp_path).pem == b""


DEPLOYMENT = "/apis/apps/v1/namespaces/kube-system/deployments/coredns"
COREFILE = "/api/v1/namespaces/kube-system/configmaps/coredns"


@pytest.fixture
def resolving(engine: FakeEngine, names: Names) -> Dns:
    provider = memory_nodes.provider(engine, names, Kind(Path("kind"), NETWORK))
    return replace(provider.dns, ingress=INGRESS_SERVICE)


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
        *((name, False) for name in ("a-b.demo.localhost.default.svc.cluster.local.", f"{INGRESS_SERVICE}.")),
    ],
)
def test_domain_and_subdomains_only_resolve_to_the_ingress(resolving: Dns, name: str, is_ours: bool) -> None:
    text = replace(resolving, domain="a-b.demo.localhost").corefile()
    assert rewritten(text, name) == (INGRESS_SERVICE if is_ours else None)


@pytest.mark.parametrize("ingress", [INGRESS_SERVICE, None])
def test_services_have_names_in_the_domain(resolving: Dns, ingress: str | None) -> None:
    text = replace(resolving, ingress=ingress, services={"db.demo.localhost": "shop/db"}).corefile()
    assert dns.service_name("shop/db", "demo.localhost") == "db.shop.svc.demo.localhost"
    assert rewritten(text, "db.shop.svc.demo.localhost.") == "db.shop.svc.cluster.local"
    assert rewritten(text, "db-0.db.shop.svc.demo.localhost.") == "db-0.db.shop.svc.cluster.local"
    assert rewritten(text, "db.demo.localhost.") == "db.shop.svc.cluster.local"
    assert rewritten(text, "web.demo.localhost.") == ingress
    assert rewritten(text, "svc.demo.localhost.") == ingress


def test_outside_names_go_to_the_nameservers(resolving: Dns) -> None:
    zones = {"vpn.corp": ("10.8.0.1",), "corp": ("10.0.0.2", "10.0.0.3")}
    text = replace(resolving, upstream=Upstream(("9.9.9.9", "1.1.1.1"), zones)).corefile()
    forwards = re.findall(r"^    forward (\S+) (.*) \{\n       max_concurrent 1000\n    \}$", text, re.M)
    assert forwards == [("corp", "10.0.0.2 10.0.0.3"), ("vpn.corp", "10.8.0.1"), (".", "9.9.9.9 1.1.1.1")]


@pytest.fixture
def dns_step(resolving: Dns, names: Names, server: ApiServer) -> DnsStep:
    server.objects = Controllers()
    server.objects[DEPLOYMENT] = {
        "kind": "Deployment",
        "metadata": {"name": "coredns"},
        "spec": {"template": {"metadata": {"labels": {"k8s-app": "kube-dns"}}}},
    }
    return DnsStep(names, replace(resolving, hosts={"db.corp": "10.0.0.5"}), names.node)


def test_changed_configuration_is_repaired(server: ApiServer, dns_step: DnsStep) -> None:
    assert dns_step.check().state is State.DRIFTED
    assert applied(dns_step) == Status(State.READY, "*.demo.localhost inside too, asks 9.9.9.9")
    before = server.objects[COREFILE]
    server.objects[COREFILE] = dns.config_map(".:53 {\n}\n")
    assert dns_step.check().state is State.DRIFTED
    dns_step.apply(NoWork())
    assert server.objects[COREFILE]["data"] == before["data"]
    server.objects[DEPLOYMENT]["spec"]["replicas"] = 0
    server.objects[DEPLOYMENT] = server.objects[DEPLOYMENT]  # seen by its controller
    assert dns_step.check() == Status(State.DRIFTED, "CoreDNS is scaled to 0 pods")
    dns_step.apply(NoWork())
    assert server.objects[DEPLOYMENT]["spec"]["replicas"] == 2
    assert dns_step.check().state is State.READY
    server.objects[DEPLOYMENT]["spec"]["template"]["metadata"]["annotations"][dns.MARK] = "other"
    assert dns_step.check().detail == "pods with another configuration"


def test_machine_has_a_name_unless_the_user_reassigns_it(server: ApiServer, dns_step: DnsStep) -> None:
    dns_step.apply(NoWork())
    text = server.objects[COREFILE]["data"]["Corefile"]
    assert f"172.30.0.1 {HOST}\n" in text and "10.0.0.5 db.corp\n" in text
    bare = replace(dns_step, dns=replace(dns_step.dns, ingress=None, hosts={HOST: "10.0.0.6"}))
    assert applied(bare) == Status(State.READY, "asks 9.9.9.9")
    text = server.objects[COREFILE]["data"]["Corefile"]
    assert f"10.0.0.6 {HOST}\n" in text and "172.30.0.1" not in text


def test_dns_step_waits_until_pod_network_is_ready(server: ApiServer, dns_step: DnsStep) -> None:
    flannel = "/apis/apps/v1/namespaces/kube-system/daemonsets/flannel"
    dns_step.apply(NoWork())
    status = {"observedGeneration": 1, "desiredNumberScheduled": 1, "updatedNumberScheduled": 1, "numberReady": 0}
    metadata = {"name": "flannel", "generation": 1}
    server.objects[flannel] = {"kind": "DaemonSet", "metadata": metadata, "spec": {}}
    server.objects[flannel]["status"] = status
    assert dns_step.check() == Status(State.DRIFTED, "DaemonSet flannel: 0 of 1 pods ready")
    ready = threading.Timer(0.3, status.update, kwargs={"numberReady": 1})
    ready.start()
    assert applied(dns_step).state is State.READY
    ready.join()


def test_dns_step_waits_until_coredns_accepts_connections_at_its_service(
    engine: FakeEngine, names: Names, server: ApiServer, dns_step: DnsStep
) -> None:
    server.objects["/api/v1/namespaces/kube-system/services/kube-dns"] = {
        "kind": "Service",
        "metadata": {"name": "kube-dns"},
        "spec": {"clusterIP": "10.96.0.10"},
    }
    statuses, asked = iter([1, 1, 0]), []

    def connect(_: object, argv: Sequence[str]) -> tuple[int, str]:
        asked.append(argv[-2])
        return next(statuses), ""

    node = ContainerSpec(name=names.node, image="node", command=(), labels={}, network=NETWORK)
    engine.boxes[names.node] = FakeContainer(node, "node")
    engine.programs["timeout"] = connect
    dns_step.apply(NoWork())
    assert asked == ["10.96.0.10"] * 3
