"""What is served for the domain, against the Secret that should be, over real TLS, and the probe that asks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from sandbox.components.certificates.facts import KeyPair, describe
from sandbox.components.certificates.keystore import Keystore
from sandbox.components.certificates.steps import SecretsStep, TlsSecret
from sandbox.components.ingress import https_probe, https_step, page
from sandbox.components.ingress.https_step import HttpsStep
from sandbox.engine import Bind
from sandbox.names import DEFAULT_TLS, SYSTEM_NAMESPACE, Names
from sandbox.step import Progress, State, Status
from sandbox.system.wait import WaitTimeout
from tests.support.api_server import ApiServer
from tests.support.fakes import NoWork, applied
from tests.support.ports import free_port
from tests.support.tls import TlsServer, make_pki

DOMAIN = "demo.localhost"
HOSTS = (DOMAIN, f"*.{DOMAIN}")
SECRET = f"{SYSTEM_NAMESPACE}/{DEFAULT_TLS}"


@pytest.fixture
def secrets(names: Names, server: ApiServer) -> SecretsStep:
    keystore = Keystore(names.keys)
    keystore.authority([DOMAIN], now=datetime.now(UTC) - timedelta(days=200))
    secret = TlsSecret(namespace=SYSTEM_NAMESPACE, secret=DEFAULT_TLS, leaf="default", hosts=HOSTS)
    step = SecretsStep(names, keystore, (secret,))
    step.apply(NoWork())
    return step


@pytest.fixture
def edge(secrets: SecretsStep, tmp_path: Path) -> Iterator[TlsServer]:
    with TlsServer(leaf(secrets), tmp_path) as server:
        yield server


@pytest.fixture
def step(names: Names, edge: TlsServer) -> HttpsStep:
    return HttpsStep(names=names, domain=DOMAIN, binds=(Bind("127.0.0.1", edge.port),), secret=DEFAULT_TLS, requires=())


def leaf(secrets: SecretsStep, name: str = "default") -> KeyPair:
    return secrets.keystore.leaf(name, HOSTS, now=datetime.now(UTC))


def renew(secrets: SecretsStep, *, days_ago: float = 0) -> KeyPair:
    secrets.keystore.renew([DOMAIN], {"default": HOSTS}, now=datetime.now(UTC) - timedelta(days=days_ago))
    return secrets.keystore.leaf_files("default").read()


def facts(leaf: KeyPair) -> str:
    return str(describe(leaf.cert_pem, now=datetime.now(UTC)))


def probe(edge: TlsServer, names: Names, host: str = DOMAIN) -> https_probe.Answer:
    return https_probe.ask(host, address="127.0.0.1", port=edge.port, root=names.root_certificate)


@pytest.mark.parametrize("status", [200, 404])
def test_any_status_over_a_trusted_connection_is_an_answer(edge: TlsServer, names: Names, status: int) -> None:
    edge.status = f"{status} Whatever"
    answer = probe(edge, names)
    assert (answer.status, answer.trouble) == (status, "")
    assert describe(answer.certificate.encode(), now=datetime.now(UTC)).hosts == HOSTS
    assert edge.asked[0].startswith(f"GET / HTTP/1.1\r\nHost: {DOMAIN}\r\n".encode())


@pytest.mark.parametrize(
    "content", [b"", b"SSH-2.0-x\r\n", b"HTTP/1.1\r\n", b"\xff\xfe\r\n", "HTTP/1.1 ² OK\r\n".encode()]
)
def test_non_http_answer_is_reported(edge: TlsServer, names: Names, content: bytes) -> None:
    edge.response = content
    answer = probe(edge, names)
    assert answer.status is None and answer.trouble.startswith("answered")


def test_probe_refuses_the_certificate_of_another_host_or_ca(edge: TlsServer, names: Names) -> None:
    answer = probe(edge, names, "other.test")
    assert answer.status is None and "other.test" in answer.trouble
    names.root_certificate.write_bytes(make_pki(DOMAIN).root.cert_pem)
    answer = probe(edge, names)
    assert answer.status is None and "certificate verify failed" in answer.trouble
    assert edge.asked == []


def test_missing_root_and_too_long_label_are_reported(edge: TlsServer, names: Names) -> None:
    """Kubernetes accepts a label of 64 characters in the host of an Ingress, TLS does not."""
    assert "label" in probe(edge, names, f"{'a' * 64}.{DOMAIN}").trouble
    names.root_certificate.unlink()
    missing = probe(edge, names)
    assert missing.status is None and "No such file" in missing.trouble


def put_ingress(server: ApiServer, *paths: dict[str, Any]) -> None:
    rule = {"host": f"app.{DOMAIN}", "http": {"paths": paths}}
    live = {"metadata": {"name": "app", "namespace": "web"}, "spec": {"rules": [rule]}}
    server.objects["/apis/networking.k8s.io/v1/namespaces/web/ingresses/app"] = live


def test_present_certificate_or_that_of_an_ingress_for_the_domain_is_ready(
    step: HttpsStep, secrets: SecretsStep, edge: TlsServer
) -> None:
    assert step.check() == Status(State.READY, f"0 hosts answer, the domain with {facts(leaf(secrets))}")
    assert "(89 days left)" in step.check().detail
    edge.present(leaf(secrets, "shop.own"))
    assert step.check().state is State.READY


def test_port_with_an_old_expired_or_unknown_certificate_is_named_with_both(
    step: HttpsStep, secrets: SecretsStep, edge: TlsServer
) -> None:
    wanted = facts(leaf(secrets))
    stranger = make_pki(DOMAIN)
    foreign = KeyPair(stranger.issuing.key_pem, stranger.issuing.cert_pem)
    for served in (renew(secrets, days_ago=100), renew(secrets), foreign):
        edge.present(served)
        said = f"127.0.0.1:{edge.port} serves the certificate {facts(served)}, not {wanted} of {SECRET}"
        assert step.check() == Status(State.DRIFTED, said)


def test_right_certificate_under_an_unknown_root_is_no_success(step: HttpsStep, names: Names) -> None:
    names.root_certificate.write_bytes(make_pki(DOMAIN).root.cert_pem)
    status = step.check()
    assert status.state is State.DRIFTED
    assert "certificate verify failed" in status.detail


def test_apply_waits_until_the_new_certificate_is_served(
    step: HttpsStep, secrets: SecretsStep, edge: TlsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    new, ask = renew(secrets), https_probe.ask
    secrets.apply(NoWork())
    with monkeypatch.context() as patch:
        patch.setattr(https_step, "TIMEOUT", 0.0)
        with pytest.raises(WaitTimeout) as caught:
            step.renew(NoWork().say)
    assert facts(new) in caught.value.details

    def present_after(*words: Any, **options: Any) -> https_probe.Answer:
        answer = ask(*words, **options)
        edge.present(new)
        return answer

    monkeypatch.setattr(https_probe, "ask", present_after)
    assert applied(step).state is State.READY


def test_missing_server_and_missing_secret_are_reported(step: HttpsStep, server: ApiServer) -> None:
    nowhere = free_port()
    status = replace(step, binds=(Bind("127.0.0.1", nowhere),)).check()
    assert status.state is State.DRIFTED
    assert status.detail.startswith(f"127.0.0.1:{nowhere}: ") and "refused" in status.detail
    del server.objects[f"/api/v1/namespaces/{SYSTEM_NAMESPACE}/secrets/{DEFAULT_TLS}"]
    assert step.check().detail == f"the Secret {SECRET} is gone"


def test_a_host_of_an_ingress_that_is_not_served_is_named(step: HttpsStep, server: ApiServer, edge: TlsServer) -> None:
    put_ingress(server)
    assert step.check().detail.startswith("1 host answers")
    edge.answer = page.render("demo", (), port=443).encode()
    assert (step.check().state, step.check().detail) == (State.DRIFTED, f"app.{DOMAIN}: 200")
    with pytest.raises(WaitTimeout, match=f"app.{DOMAIN}"):
        step.wait_answered(f"app.{DOMAIN}", timeout=0.3)
    edge.answer = b"hello"
    step.wait_answered(f"app.{DOMAIN}", timeout=5)


def test_404_of_traefik_without_routes_is_no_answer_but_that_of_an_application_is(
    step: HttpsStep, server: ApiServer, edge: TlsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_ingress(server)
    edge.status, edge.answer = "404 Not Found", b"404 page not found\n"
    assert (step.check().state, step.check().detail) == (State.DRIFTED, f"app.{DOMAIN}: 404")
    ask = https_probe.ask

    def answered(name: str, **given: Any) -> https_probe.Answer:
        answer = ask(name, **given)
        is_unknown = name != f"app.{DOMAIN}"
        return replace(answer, page=page.render("demo", (), port=443)) if is_unknown else answer

    monkeypatch.setattr(https_probe, "ask", answered)
    assert step.check().state is State.READY


def test_apply_waits_until_every_node_that_the_edge_asks_in_turn_has_its_routes(
    step: HttpsStep, server: ApiServer, edge: TlsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_ingress(server)
    ask, requests = https_probe.ask, count()

    def in_turn(name: str, **given: Any) -> https_probe.Answer:
        number = next(requests)
        edge.status, edge.answer = "200 OK", b"hello\n"
        if number < 20 and number % 2:
            edge.status, edge.answer = "404 Not Found", b"404 page not found\n"
        return ask(name, **given)

    monkeypatch.setattr(https_probe, "ask", in_turn)
    monkeypatch.setattr(https_step, "WIDTH", 1)
    step.apply(NoWork())
    assert next(requests) >= 20


def test_host_without_a_service_is_explained_in_the_end(
    step: HttpsStep, server: ApiServer, edge: TlsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    edge.status, edge.answer = "503 Service Unavailable", b""
    put_ingress(server, {"path": "/", "backend": {"service": {"name": "shop", "port": {"number": 80}}}})
    lines: list[str] = []
    monkeypatch.setattr(https_step, "TIMEOUT", 0.1)
    with pytest.raises(WaitTimeout) as caught:
        step.apply(Progress(lines.append))
    assert caught.value.details == f"app.{DOMAIN}: 503\nIngress web/app: there is no Service web/shop"
    assert caught.value.fix.startswith("correct the Ingress")
    assert lines == [f"app.{DOMAIN}: 503"]


@pytest.mark.parametrize("renewed", [True, False])
def test_application_with_an_earlier_certificate_is_named(
    step: HttpsStep, secrets: SecretsStep, monkeypatch: pytest.MonkeyPatch, renewed: bool
) -> None:
    """The application's Secret has another certificate than the application → ready, with a note; `renew` says it."""
    now, ask, host = datetime.now(UTC), https_probe.ask, f"app.{DOMAIN}"
    served = secrets.keystore.leaf("shop.app-tls", (host,), now=now)
    if renewed:
        secrets.keystore.renew([DOMAIN], {"shop.app-tls": (host,)}, now=now)

    def answered(name: str, **given: Any) -> https_probe.Answer:
        return https_probe.Answer(200, certificate=served.cert_pem.decode()) if name == host else ask(name, **given)

    monkeypatch.setattr(https_probe, "ask", answered)
    line = f"{host} still serves an earlier certificate, {facts(served)}: restart its application"
    status, lines = step.check(), list[str]()
    assert status.state is State.READY and status.detail.endswith(line) is renewed
    step.renew(lines.append)
    assert lines == ([line] if renewed else [])
