"""The steps outside the cluster against real handshakes on loopback."""

from __future__ import annotations

import base64
import socket
import threading
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from cryptography import x509

from sandbox.components.certificates.authority import make_leaf
from sandbox.components.certificates.facts import KeyPair
from sandbox.components.certificates.keystore import Keystore
from sandbox.components.edge import routes
from sandbox.components.edge.route import Port
from sandbox.doctor.check import Status
from sandbox.doctor.doctor_context import DoctorContext
from sandbox.doctor.tls import edge_checks
from sandbox.doctor.tls.tls_context import RequestTrace
from sandbox.engine import Bind, ContainerSpec, labelled
from sandbox.names import EDGE, LABEL
from tests.support.api_server import ApiServer
from tests.support.fakes import NETWORK, FakeEngine
from tests.support.tls import make_pki, presenting, rogue_leaf
from tests.unit.doctor.conftest import IMAGE
from tests.unit.doctor.tls.conftest import DOMAIN, HOST, Serve, asking, ingress


def test_unresolvable_name_is_reported(trace: RequestTrace) -> None:
    found = edge_checks.name(asking(trace, "nosuch.invalid"))
    assert found.status is Status.ERROR and found.fix.endswith("'echo 127.0.0.1 nosuch.invalid >> /etc/hosts'")


def test_name_that_an_ingress_has_is_for_names_install(trace: RequestTrace, cluster: ApiServer) -> None:
    host = "app.nosuch.invalid"
    routes.save(trace.context.home.edge, replace(routes.load(trace.context.home.edge)[0], domain="nosuch.invalid"))
    assert edge_checks.name(asking(trace, host)).fix.endswith(f"'echo 127.0.0.1 {host} >> /etc/hosts'")
    ingress(cluster, host)
    assert edge_checks.name(asking(trace, host)).fix == "sandbox hosts install -n demo"


def test_first_part_of_a_name_comes_with_the_whole_one(trace: RequestTrace) -> None:
    found = edge_checks.name(asking(trace, "nosuch"))
    assert found.status is Status.ERROR and found.fix == f"use the whole name of a host, such as nosuch.{DOMAIN}"


def test_name_is_checked_to_resolve_here(trace: RequestTrace) -> None:
    found = edge_checks.name(asking(trace, "127.0.0.1"))
    assert found.status is Status.OK and "loopback" in found.evidence
    assert edge_checks.name(asking(trace, "192.0.2.1")).status is Status.ERROR


def test_port_owner_is_nobody_the_edge_or_another_user(trace: RequestTrace, engine: FakeEngine) -> None:
    assert edge_checks.port(trace).status is Status.ERROR
    with closing(socket.create_server(("127.0.0.1", trace.port))):
        found = edge_checks.port(trace)
        assert found.status is Status.ERROR and "(pid " in found.evidence
        engine.create_network(NETWORK, {LABEL: ""})
        publish = {8443: (Bind("127.0.0.1", trace.port),)}
        theirs, ours = {LABEL: ""}, {LABEL: "", **trace.context.home.labels}
        spec = ContainerSpec(name=EDGE, image=IMAGE, command=("x",), labels=theirs, network=NETWORK, publish=publish)
        engine.run(spec)
        unknown = f"{EDGE} of an unknown owner, and this user's state folder does not know its sandbox"
        assert edge_checks.port(trace).evidence == f"127.0.0.1:{trace.port} is used by {unknown}"
        marked = labelled.edge(engine, trace.context.home)
        engine.remove_container(EDGE)
        for name in (EDGE, marked):
            engine.run(replace(spec, name=name, labels=ours))
            found = edge_checks.port(trace)
            assert (found.status, found.evidence) == (Status.OK, f"127.0.0.1:{trace.port} is the edge's")
            engine.remove_container(name)


def test_a_route_by_its_rules(trace: RequestTrace, context: DoctorContext) -> None:
    assert edge_checks.route(trace).status is Status.OK
    found = edge_checks.route(asking(trace, "x.example.com"))
    assert found.status is Status.ERROR and "page for unknown hosts" in found.evidence
    other = replace(trace, named=True, context=replace(context, spec=context.spec.model_copy(update={"name": "other"})))
    assert edge_checks.route(other).status is Status.ERROR
    routes.remove(context.home.edge, "demo")
    assert edge_checks.route(RequestTrace(context, HOST, None, False)).evidence == "the edge has no routes"


def test_a_server_that_breaks_off_or_speaks_no_tls(trace: RequestTrace, serve: Serve, default: KeyPair) -> None:
    assert edge_checks.handshake(trace).status is Status.ERROR
    with serve(default):
        found = edge_checks.handshake(trace)
    assert found.status is Status.OK and found.evidence.startswith("TLSv1.3")


def test_service_of_edge_tls_that_speaks_no_tls_is_named(trace: RequestTrace) -> None:
    edge = trace.context.home.edge
    tls = Port(trace.port, "shop/db:5432", host=HOST)
    routes.save(edge, replace(routes.load(edge)[0], ports=(tls,)))

    def refuse(listener: socket.socket) -> None:
        with listener.accept()[0] as connection:
            connection.recv(1 << 16)
            connection.sendall(b"no TLS here\r\n")

    with socket.create_server(("127.0.0.1", trace.port)) as listener:
        thread = threading.Thread(target=refuse, args=(listener,))
        thread.start()
        found = edge_checks.handshake(asking(trace, HOST))
        thread.join()
    assert found.status is Status.ERROR
    assert found.fix.startswith("have shop/db:5432 speak TLS itself: edge.tls routes it there unchanged; ")
    assert found.fix.endswith("sandbox doctor service shop/db checks its pods")


def test_service_of_edge_tls_is_asked_by_its_protocol(trace: RequestTrace, default: KeyPair, tmp_path: Path) -> None:
    edge = trace.context.home.edge
    routes.save(edge, replace(routes.load(edge)[0], ports=(Port(trace.port, "shop/db:5432", host=HOST),)))
    context = presenting(default, tmp_path)
    context.set_alpn_protocols(["postgresql"])

    def accept(listener: socket.socket) -> None:
        with listener.accept()[0] as connection, context.wrap_socket(connection, server_side=True):
            pass

    with socket.create_server(("127.0.0.1", trace.port)) as listener:
        thread = threading.Thread(target=accept, args=(listener,))
        thread.start()
        found = edge_checks.handshake(asking(trace, HOST))
        thread.join()
    assert found.status is Status.OK and found.evidence.endswith("postgresql")


def test_default_certificate_is_recognised_and_chains_to_root(
    trace: RequestTrace, serve: Serve, default: KeyPair, cluster: ApiServer
) -> None:
    with serve(default):
        found = edge_checks.certificate(trace)
        assert found.status is Status.OK and found.evidence.startswith("the sandbox's default certificate: ")
        assert "89 days left" in found.evidence
        found = edge_checks.chain(trace)
    assert found.status is Status.OK and f"limited to {DOMAIN}, localhost" in found.evidence


def test_a_leaf_of_its_own_passed_through(
    trace: RequestTrace, serve: Serve, keystore: Keystore, cluster: ApiServer
) -> None:
    leaf = keystore.leaf("web.tls", (HOST,), now=trace.context.now)
    ingress(cluster, HOST, annotations={"nginx.ingress.kubernetes.io/ssl-passthrough": "true"})
    with serve(leaf):
        found = edge_checks.certificate(trace)
    assert found.status is Status.OK
    assert found.evidence.startswith("the sandbox's leaf web.tls, from the application, because Ingress")


def test_a_certificate_for_other_hosts(trace: RequestTrace, serve: Serve, default: KeyPair, cluster: ApiServer) -> None:
    deep = asking(trace, f"a.b.{DOMAIN}")
    with serve(default):
        found = edge_checks.certificate(deep)
    assert found.status is Status.ERROR and f"not for a.b.{DOMAIN}" in found.evidence and "certs:" in found.fix
    ingress(cluster, deep.host)
    with serve(default):
        found = edge_checks.certificate(replace(deep))
    key = f"certs: {{secrets: [{{secret: a-tls, namespace: web, hosts: [{deep.host}]}}]}}"
    named = f"Ingress web/app: tls: [{{hosts: [{deep.host}], secretName: a-tls}}]"
    assert found.fix == f"add a certificate to sandbox.yaml: {key}; and in {named}; then sandbox up -n demo"
    with serve(default):
        found = edge_checks.certificate(asking(trace, "shop.example.test"))
    assert "edge: {hosts: [{host: shop.example.test, terminate: true}]}" in found.fix


def test_expired_and_not_yet_valid_are_reported(
    trace: RequestTrace, serve: Serve, default: KeyPair, cluster: ApiServer
) -> None:
    with serve(default):
        late = replace(trace, context=replace(trace.context, now=trace.context.now + timedelta(days=100)))
        assert "expired on" in edge_checks.certificate(late).evidence
        early = replace(trace, context=replace(trace.context, now=trace.context.now - timedelta(days=1)))
        found = edge_checks.certificate(early)
    assert found.status is Status.ERROR and found.fix == "correct the clock"


def test_foreign_certificate_is_an_error_unless_a_secret_has_it(
    trace: RequestTrace, serve: Serve, default: KeyPair, cluster: ApiServer
) -> None:
    pki = make_pki(DOMAIN, now=trace.context.now)
    foreign = make_leaf(pki.issuing, (HOST,), now=trace.context.now)
    with serve(foreign):
        assert edge_checks.certificate(trace).evidence.startswith("third party: ")
        assert edge_checks.chain(trace).status is Status.ERROR
        ingress(cluster, HOST, name="broken", tls=[{"hosts": [HOST], "secretName": "broken"}])
        cluster.objects["/api/v1/namespaces/web/secrets/broken"] = {"data": {"tls.crt": "bm9uZQ=="}}
        ingress(cluster, HOST, tls=[{"hosts": [HOST], "secretName": "mine"}])
        data = {"tls.crt": base64.b64encode(foreign.cert_pem).decode()}
        cluster.objects["/api/v1/namespaces/web/secrets/mine"] = {"data": data}
        again = replace(trace)
        assert edge_checks.certificate(again).evidence.startswith("the Secret web/mine: ")
        found = edge_checks.chain(again)
    assert found.status is Status.WARN and "not the sandbox's root" in found.evidence


def test_a_chain_in_the_wrong_order(trace: RequestTrace, serve: Serve, default: KeyPair, keystore: Keystore) -> None:
    end = b"-----END CERTIFICATE-----\n"
    leaf = default.cert_pem.split(end)[0] + end
    root = trace.names.root_certificate.read_bytes()
    with serve(KeyPair(default.key_pem, leaf + root)):
        found = edge_checks.chain(trace)
    assert found.status is Status.ERROR and "is not signed by the next" in found.evidence


def test_a_chain_without_its_issuer(trace: RequestTrace, serve: Serve, default: KeyPair) -> None:
    end = b"-----END CERTIFICATE-----\n"
    with serve(KeyPair(default.key_pem, default.cert_pem.split(end)[0] + end)):
        found = edge_checks.chain(trace)
    assert found.status is Status.ERROR and "does not send its issuer's" in found.evidence


def test_certificate_outside_its_cas_constraints_is_reported(
    trace: RequestTrace, serve: Serve, keystore: Keystore, default: KeyPair
) -> None:
    rogue = rogue_leaf(keystore.issuing.read(), x509.DNSName("bank.example.com"))
    with serve(rogue):
        found = edge_checks.chain(trace)
    assert found.status is Status.ERROR and "not for bank.example.com" in found.evidence


def test_without_a_root_the_chain_is_not_checked(trace: RequestTrace, serve: Serve, tmp_path: Path) -> None:
    pki = make_pki(DOMAIN)
    with serve(make_leaf(pki.issuing, (HOST,), now=trace.context.now)):
        found = edge_checks.chain(trace)
    assert found.status is Status.ERROR and "has no root" in found.evidence
