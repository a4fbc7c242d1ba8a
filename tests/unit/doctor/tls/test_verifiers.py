"""Real TLS clients asked by the doctor."""

from __future__ import annotations

import pytest

from sandbox.components.certificates.authority import make_leaf
from sandbox.components.certificates.facts import KeyPair
from sandbox.doctor.check import Status
from sandbox.doctor.tls import verifiers
from sandbox.doctor.tls.tls_context import RequestTrace
from tests.support.tls import make_pki
from tests.unit.doctor.tls.conftest import DOMAIN, HOST, Serve, asking

REAL = ["openssl", "python", "curl"]


def look(name: str, trace: RequestTrace) -> tuple[Status, str]:
    found = verifiers.inspect(verifiers.CLIENTS[name], trace)
    return found.status, found.evidence


@pytest.mark.parametrize("name", REAL)
def test_with_the_root_each_accepts_and_by_itself_refuses(
    trace: RequestTrace, serve: Serve, default: KeyPair, name: str
) -> None:
    with serve(default):
        status, evidence = look(name, trace)
    assert status is Status.WARN and "unable to get local issuer certificate" in evidence


@pytest.mark.parametrize("name", REAL)
def test_a_root_that_is_trusted_already(
    trace: RequestTrace, serve: Serve, default: KeyPair, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(trace.names.root_certificate))
    monkeypatch.setenv("CURL_CA_BUNDLE", str(trace.names.root_certificate))
    with serve(default):
        assert look(name, trace)[0] is Status.OK


@pytest.mark.parametrize("name", REAL)
def test_certificate_of_another_host_is_refused(trace: RequestTrace, serve: Serve, default: KeyPair, name: str) -> None:
    with serve(default):
        status, evidence = look(name, asking(trace, f"a.b.{DOMAIN}"))
    assert status is Status.ERROR and "refuses even with the sandbox's root" in evidence


@pytest.mark.parametrize("name", REAL)
def test_unknown_certificate_is_checked_only_against_trusted(
    trace: RequestTrace, serve: Serve, default: KeyPair, name: str
) -> None:
    with serve(make_leaf(make_pki(DOMAIN).issuing, (HOST,), now=trace.context.now)):
        status, evidence = look(name, trace)
    assert status is Status.WARN and evidence.startswith("refuses: ")


def test_missing_verifier_is_skipped(
    trace: RequestTrace, serve: Serve, default: KeyPair, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    with serve(default):
        assert look("curl", trace) == (Status.SKIPPED, "not installed")
