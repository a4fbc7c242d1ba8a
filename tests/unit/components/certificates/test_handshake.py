"""What TLS clients make of our certificates: Python's ssl, strict and not, shakes hands with a real server."""

from __future__ import annotations

import ssl
from datetime import timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509

from sandbox.components.certificates.authority import make_leaf
from sandbox.components.certificates.facts import KeyPair
from sandbox.components.certificates.subject_names import subject_names
from tests.support.tls import DOMAIN, NOW, Pki, handshake, make_pki, rogue_leaf


@pytest.fixture(scope="module")
def pki() -> Pki:
    return make_pki()


@pytest.fixture(scope="module")
def default_leaf(pki: Pki) -> KeyPair:
    return make_leaf(pki.issuing, [*subject_names(DOMAIN), "api.team.demo.sandbox.localhost"], now=NOW)


@pytest.mark.parametrize("strict", [True, False])
@pytest.mark.parametrize(
    "name",
    [DOMAIN, f"app.{DOMAIN}", "api.team.demo.sandbox.localhost", "localhost", "127.0.0.1", "::1"],
)
def test_a_client_that_trusts_the_root_accepts_every_name(
    name: str, strict: bool, pki: Pki, default_leaf: KeyPair, tmp_path: Path
) -> None:
    assert DOMAIN in handshake(default_leaf, name, pki.root.cert_pem, tmp_path, strict=strict)


def test_the_server_does_not_send_the_root(pki: Pki, default_leaf: KeyPair) -> None:
    sent = x509.load_pem_x509_certificates(default_leaf.cert_pem)
    assert sent[1:] == x509.load_pem_x509_certificates(pki.issuing.cert_pem)


@pytest.mark.parametrize(
    "name", ["other.sandbox.localhost", f"a.b.{DOMAIN}", "127.0.0.2", f"evil{DOMAIN}", "sandbox.localhost"]
)
def test_names_the_leaf_does_not_hold_are_refused(name: str, pki: Pki, default_leaf: KeyPair, tmp_path: Path) -> None:
    with pytest.raises(ssl.SSLCertVerificationError, match="mismatch"):
        handshake(default_leaf, name, pki.root.cert_pem, tmp_path)


@pytest.mark.fault(28)
def test_an_expired_leaf_is_refused(tmp_path: Path) -> None:
    """An expired certificate is served → clients refuse it as expired."""
    past = NOW - timedelta(days=100)
    old = make_pki(now=past)
    with pytest.raises(ssl.SSLCertVerificationError, match="expired"):
        handshake(make_leaf(old.issuing, [DOMAIN], now=past), DOMAIN, old.root.cert_pem, tmp_path)


@pytest.mark.fault(29)
def test_client_clock_behind_by_less_than_an_hour_accepts(tmp_path: Path) -> None:
    """A client's clock is 55 minutes behind → it accepts a new certificate."""
    ahead = make_pki(now=NOW + timedelta(minutes=55))
    leaf = make_leaf(ahead.issuing, [DOMAIN], now=NOW + timedelta(minutes=55))
    assert handshake(leaf, DOMAIN, ahead.root.cert_pem, tmp_path) == [DOMAIN]


@pytest.mark.parametrize(
    ("name", "san"),
    [
        ("bank.example.com", x509.DNSName("bank.example.com")),
        ("evil-localhost", x509.DNSName("evil-localhost")),
        ("10.0.0.1", x509.IPAddress(ip_address("10.0.0.1"))),
    ],
)
def test_stolen_issuing_key_cannot_sign_outside_names(
    name: str, san: x509.GeneralName, pki: Pki, tmp_path: Path
) -> None:
    with pytest.raises(ssl.SSLCertVerificationError, match="permitted subtree violation"):
        handshake(rogue_leaf(pki.issuing, san), name, pki.root.cert_pem, tmp_path)
