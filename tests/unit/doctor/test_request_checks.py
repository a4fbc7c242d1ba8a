"""The steps of a request: outside the cluster by real handshakes on loopback, inside it against a small API server."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.x509.oid import NameOID

from sandbox.components.certificates import pem
from sandbox.components.certificates.authority import make_leaf
from sandbox.components.certificates.facts import KeyPair
from sandbox.components.certificates.keystore import Keystore
from sandbox.components.edge import routes
from sandbox.components.edge.route import Host, Port
from sandbox.components.ingress import page, served_hosts
from sandbox.config.schema import Ingress, ResolvedSpec
from sandbox.config.schema.cluster_schema import Cluster
from sandbox.doctor import request_checks
from sandbox.doctor.check import DoctorContext, Status
from sandbox.doctor.request_trace import RequestTrace
from sandbox.engine import Bind, ContainerSpec, labelled
from sandbox.names import EDGE, LABEL
from sandbox.plan import saved_spec
from tests.support.api_server import ApiServer
from tests.support.fakes import NETWORK, FakeEngine
from tests.support.tls import certificate, make_pki, rogue_leaf
from tests.unit.doctor.conftest import DOMAIN, HOST, IMAGE, Serve, ingress

WEB = "/api/v1/namespaces/web"
SLICES = "/apis/discovery.k8s.io/v1/namespaces/web/endpointslices"


def test_name_that_does_not_resolve_here_is_an_error(trace: RequestTrace) -> None:
    loopback = request_checks.name(replace(trace, host="127.0.0.1"))
    assert loopback.status is Status.OK
    assert request_checks.name(replace(trace, host="192.0.2.1")).status is Status.ERROR
    unknown = request_checks.name(replace(trace, host="nosuch.invalid"))
    assert unknown.status is Status.ERROR
    assert unknown.fix == "sandbox hosts install -n demo; or add the line `127.0.0.1 nosuch.invalid` to /etc/hosts"


@pytest.fixture
def edge(trace: RequestTrace, engine: FakeEngine) -> Iterator[ContainerSpec]:
    """The edge's container, which publishes the request's port."""
    engine.create_network(NETWORK, {LABEL: ""})
    publish = {8443: (Bind("127.0.0.1", trace.port),)}
    ours = {LABEL: "", **trace.context.home.labels}
    spec = ContainerSpec(name=EDGE, image=IMAGE, command=("x",), labels=ours, network=NETWORK, publish=publish)
    with closing(socket.create_server(("127.0.0.1", trace.port))):
        engine.run(spec)
        yield spec


def test_port_of_a_process_or_another_user_is_an_error(
    trace: RequestTrace, engine: FakeEngine, edge: ContainerSpec
) -> None:
    engine.remove_container(EDGE)
    finding = request_checks.route(trace)
    assert finding.status is Status.ERROR and "(pid " in finding.evidence
    engine.run(replace(edge, labels={LABEL: ""}))
    unknown = f"{EDGE} of an unknown owner, and this user's state folder does not know its sandbox"
    assert request_checks.route(trace).evidence == f"127.0.0.1:{trace.port} is used by {unknown}"
    engine.remove_container(EDGE)
    engine.run(replace(edge, name=labelled.edge(engine, trace.context.home)))
    assert request_checks.route(trace).status is Status.OK


def test_host_without_a_route_is_an_error(trace: RequestTrace, context: DoctorContext, edge: ContainerSpec) -> None:
    assert request_checks.route(trace).evidence.endswith("is the edge's, which routes it to the sandbox demo")
    finding = request_checks.route(replace(trace, host="x.example.com"))
    assert finding.status is Status.ERROR and "page for unknown hosts" in finding.evidence
    other = replace(trace, named=True, context=replace(context, spec=context.spec.model_copy(update={"name": "other"})))
    assert request_checks.route(other).status is Status.ERROR
    routes.remove(context.home.edge, "demo")
    assert request_checks.route(RequestTrace(context, HOST, None, False)).evidence == "the edge has no routes"


def test_nothing_that_listens_is_an_error_of_each_check(trace: RequestTrace) -> None:
    assert request_checks.route(trace).evidence == f"no process listens on 127.0.0.1:{trace.port}"
    assert request_checks.handshake(trace).status is Status.ERROR


def test_service_of_edge_tls_is_asked_by_its_protocol(trace: RequestTrace, serve: Serve, default: KeyPair) -> None:
    edge = trace.context.home.edge
    routes.save(edge, replace(routes.load(edge)[0], ports=(Port(trace.port, "shop/db:5432", host=HOST),)))
    with serve(default) as server:
        server._context.set_alpn_protocols(["postgresql"])
        found = request_checks.handshake(replace(trace))
    assert found.status is Status.OK and found.evidence.endswith("postgresql")

    def refuse(listener: socket.socket) -> None:
        with listener.accept()[0] as connection:
            connection.recv(1 << 16)
            connection.sendall(b"no TLS here\r\n")

    with socket.create_server(("127.0.0.1", trace.port)) as listener:
        threading.Thread(target=refuse, args=(listener,), daemon=True).start()
        found = request_checks.handshake(replace(trace))
    assert found.status is Status.ERROR
    assert found.fix == "have shop/db:5432 speak TLS itself: edge.tls routes it there unchanged"


def test_a_certificate_for_other_hosts(trace: RequestTrace, serve: Serve, default: KeyPair) -> None:
    deep = replace(trace, host=f"a.b.{DOMAIN}")
    with serve(default):
        found = request_checks.certificate(deep)
    assert found.status is Status.ERROR and f"not for a.b.{DOMAIN}" in found.evidence
    assert f"certs: {{secrets: [{{secret: a-tls, hosts: [a.b.{DOMAIN}]}}]}}" in found.fix


def test_expired_and_not_yet_valid_are_reported(trace: RequestTrace, serve: Serve, default: KeyPair) -> None:
    with serve(default):
        late = replace(trace, context=replace(trace.context, now=trace.context.now + timedelta(days=100)))
        assert "expired on" in request_checks.certificate(late).evidence
        early = replace(trace, context=replace(trace.context, now=trace.context.now - timedelta(days=1)))
        found = request_checks.certificate(early)
    assert found.status is Status.ERROR and found.fix == "correct the clock"


def test_certificate_of_another_issuer_is_named(trace: RequestTrace, serve: Serve) -> None:
    key = generate_private_key(SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Acme")])
    leaf = certificate(name, key, (x509.SubjectAlternativeName([x509.DNSName(HOST)]), False))
    with serve(KeyPair(pem.dump_key(key), pem.dump_certificate(leaf))):
        assert request_checks.certificate(trace).evidence.endswith("; by CN=Acme")
        finding = request_checks.trusted(trace)
        assert finding.status is Status.WARN and finding.fix == request_checks.ANOTHER_ISSUER


def test_chain_that_clients_refuse_is_an_error(
    trace: RequestTrace, serve: Serve, keystore: Keystore, default: KeyPair
) -> None:
    with serve(rogue_leaf(keystore.issuing.read(), x509.DNSName("bank.example.com"))):
        outside = request_checks.trusted(replace(trace, host="bank.example.com"))
    with serve(make_leaf(make_pki(DOMAIN, now=trace.context.now).issuing, (HOST,), now=trace.context.now)):
        earlier = request_checks.trusted(trace)
    end = b"-----END CERTIFICATE-----\n"
    with serve(KeyPair(default.key_pem, default.cert_pem.split(end)[0] + end)):
        alone = request_checks.trusted(replace(trace))
    assert outside.status is earlier.status is alone.status is Status.ERROR
    assert "permitted subtree violation" in outside.evidence and alone.fix == request_checks.RENEW


def test_root_in_the_trust_store_makes_the_certificate_trusted(
    trace: RequestTrace, serve: Serve, default: KeyPair, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serve(default):
        found = request_checks.certificate(trace)
        assert request_checks.handshake(trace).evidence.startswith("TLSv1.3")
        assert found.status is Status.OK and f"*.{DOMAIN}" in found.evidence and "89 days left" in found.evidence
        assert "unable to get local issuer certificate" in request_checks.trusted(trace).evidence
        monkeypatch.setenv("SSL_CERT_FILE", str(trace.names.root_certificate))
        assert request_checks.trusted(trace).status is Status.OK


def service(server: ApiServer, **spec: Any) -> None:
    server.objects[f"{WEB}/services/app"] = {
        "spec": {"ports": [{"port": 80, "name": "http"}], "selector": {"app": "web"}, **spec}
    }


def endpoints(server: ApiServer, *ready: bool) -> None:
    found = [{"addresses": [f"10.244.0.{n}"], "conditions": {"ready": one}} for n, one in enumerate(ready, 2)]
    server.objects[f"{SLICES}/app-x"] = {
        "metadata": {"name": "app-x", "labels": {"kubernetes.io/service-name": "app"}},
        "endpoints": found,
    }


def test_a_host_without_a_rule(trace: RequestTrace, server: ApiServer) -> None:
    found = request_checks.rule(trace)
    assert found.status is Status.ERROR and "kubectl --context sandbox-demo create ingress" in found.fix
    assert request_checks.rule(replace(trace, host=DOMAIN)).status is Status.WARN


def test_host_of_a_server_outside_needs_no_rule(trace: RequestTrace, serve: Serve, default: KeyPair) -> None:
    (known,) = routes.load(trace.context.home.edge)
    routes.save(trace.context.home.edge, replace(known, hosts=(Host(trace.host, True, "localhost:3000"),)))
    assert request_checks.rule(trace).evidence == "the edge routes it to localhost:3000, outside the cluster"
    assert request_checks.endpoints(trace).status is Status.SKIPPED
    with serve(default, b"HTTP/1.1 503 Service Unavailable\r\n\r\n"):
        found = request_checks.answer(trace)
    assert found.evidence == "HTTP 503: the edge does not reach localhost:3000" and "edge status" in found.fix
    with serve(default):
        assert request_checks.answer(trace).status is Status.OK


def test_host_of_edge_tls_needs_no_rule(trace: RequestTrace) -> None:
    (known,) = routes.load(trace.context.home.edge)
    port = Port(known.listen[0][1], "shop/db:5432", host=trace.host)
    routes.save(trace.context.home.edge, replace(known, ports=(port,)))
    assert request_checks.rule(trace).evidence == "the edge routes its TLS to the Service shop/db:5432"
    assert request_checks.endpoints(trace).evidence == "sandbox doctor service shop/db checks them"
    assert request_checks.answer(trace).status is Status.SKIPPED


def test_a_rule_of_another_controller(trace: RequestTrace, server: ApiServer) -> None:
    ingress(server, trace.host, ingressClassName="kong")
    found = request_checks.rule(trace)
    wrong = "Ingress web/app has the class kong, which the sandbox's controller does not serve"
    assert (found.status, found.evidence) == (Status.ERROR, wrong)
    kong = {"metadata": {"name": "kong"}, "spec": {"controller": "kong/x"}}
    server.objects["/apis/networking.k8s.io/v1/ingressclasses/kong"] = kong
    assert request_checks.rule(replace(trace)).evidence == wrong
    kong["spec"] = {"controller": served_hosts.SERVED_BY}
    found = request_checks.rule(replace(trace))
    assert (found.status, found.evidence) == (Status.OK, "Ingress web/app")


@pytest.mark.parametrize(
    ("controller", "served"), [(Ingress(), "sandbox"), (Ingress(controller="none", class_name="kong"), "kong")]
)
def test_advised_class_is_one_that_is_served(
    trace: RequestTrace, server: ApiServer, controller: Ingress, served: str
) -> None:
    existing = Cluster(provider="existing", context="team", namespace="web")
    saved_spec.save(trace.names, ResolvedSpec(name="demo", cluster=existing, ingress=controller))
    assert f" -n web create ingress NAME --class {served} --rule" in request_checks.rule(replace(trace)).fix
    ingress(server, trace.host, within="web", ingressClassName="nginx")
    found = request_checks.rule(replace(trace))
    assert found.evidence.endswith(f"has the class nginx, and the sandbox serves {served}")
    assert f'"ingressClassName": "{served}"' in found.fix
    ingress(server, trace.host, within="web", ingressClassName=served)
    assert request_checks.rule(replace(trace)).status is Status.OK


def test_missing_secret_is_a_warning_that_names_the_ingress_to_edit(trace: RequestTrace, server: ApiServer) -> None:
    ingress(server, trace.host, tls=[{"hosts": [trace.host], "secretName": "lost"}])
    found = request_checks.rule(trace)
    assert found.status is Status.WARN and "the Secret web/lost is missing" in found.evidence
    assert found.fix.endswith("-n web edit ingress app")


def test_service_without_a_ready_pod_is_an_error(trace: RequestTrace, server: ApiServer) -> None:
    ingress(server, trace.host)
    assert request_checks.endpoints(trace).evidence == "Ingress web/app: there is no Service web/app"
    service(server)
    assert request_checks.endpoints(trace).evidence.endswith("no pod has the labels app=web")
    endpoints(server, False)
    waiting = {"containerStatuses": [{"state": {"waiting": {"reason": "ImagePullBackOff"}}}], "phase": "Pending"}
    pod = {"metadata": {"name": "web-1", "labels": {"app": "web"}}, "status": waiting}
    server.objects[f"{WEB}/pods/web-1"] = pod
    server.objects[f"{WEB}/pods/other"] = {"metadata": {"name": "other-1"}, "status": waiting}
    found = request_checks.endpoints(trace)
    assert found.status is Status.ERROR and found.evidence.endswith("web-1 ImagePullBackOff")
    endpoints(server, True, False, True)
    found = request_checks.endpoints(trace)
    assert (found.status, found.evidence) == (Status.OK, "every Service has a ready pod")


@pytest.mark.parametrize(
    ("answer", "status", "words"),
    [
        (b"HTTP/1.1 200 OK\r\n\r\nhello", Status.OK, "HTTP 200"),
        (b"HTTP/1.1 404 Not Found\r\n\r\nno such page", Status.OK, "HTTP 404"),
        (b"HTTP/1.1 503 No\r\n\r\n", Status.ERROR, "does not reach"),
        (b"HTTP/1.1 404 No\r\n\r\n" + page.render("demo", (), port=443).encode(), Status.ERROR, "unknown hosts"),
        (b"220 mail\r\n", Status.ERROR, "220 mail"),
    ],
)
def test_answer_of_the_application_is_judged(
    trace: RequestTrace, serve: Serve, default: KeyPair, answer: bytes, status: Status, words: str
) -> None:
    with serve(default, answer):
        found = request_checks.answer(trace)
    assert found.status is status and words in found.evidence
