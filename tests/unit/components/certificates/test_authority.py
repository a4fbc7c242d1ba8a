"""Authorities and leaves: their constraints, their dates, and what clients accept."""

from __future__ import annotations

import ssl
import subprocess
from datetime import timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from sandbox.components.certificates.authority import NOWHERE, make_issuing, make_leaf, make_root
from sandbox.components.certificates.subject_names import subject_names
from sandbox.errors import SandboxError, UsageError
from tests.support.tls import DOMAIN, NOW, handshake, make_pki, rogue_leaf

SHARED = make_pki()


def certificate(cert_pem: bytes) -> x509.Certificate:
    return x509.load_pem_x509_certificate(cert_pem)


@pytest.mark.security(1)
def test_each_authority_alone_refuses_a_name_outside_constraints(tmp_path: Path) -> None:
    """A stolen issuing key signs for a bank → clients refuse it."""
    # Clients that ignore the root's constraints rely on the issuing authority's.
    bank = "bank.example.com"
    wide = make_root([DOMAIN, "example.com"], now=NOW)
    rogue = rogue_leaf(make_issuing(wide, [DOMAIN], now=NOW), x509.DNSName(bank))
    with pytest.raises(ssl.SSLCertVerificationError, match="permitted subtree violation"):
        handshake(rogue, bank, wide.cert_pem, tmp_path)
    allowed = make_leaf(make_issuing(wide, ["example.com"], now=NOW), [bank], now=NOW)
    assert handshake(allowed, bank, wide.cert_pem, tmp_path) == [bank]


def test_both_authorities_carry_the_critical_constraints() -> None:
    for pair, path_length in ((SHARED.root, 1), (SHARED.issuing, 0)):
        extensions = certificate(pair.cert_pem).extensions
        constraints = extensions.get_extension_for_class(x509.NameConstraints)
        basic = extensions.get_extension_for_class(x509.BasicConstraints)
        permitted = [str(name.value) for name in constraints.value.permitted_subtrees or ()]
        assert constraints.critical and permitted == [DOMAIN, "localhost", "127.0.0.0/8", "::1/128", NOWHERE, NOWHERE]
        assert basic.critical and basic.value == x509.BasicConstraints(ca=True, path_length=path_length)


def test_a_certificate_never_outlives_its_issuer() -> None:
    late = NOW + timedelta(days=364)
    leaf = certificate(make_leaf(SHARED.issuing, [DOMAIN], now=late).cert_pem)
    assert leaf.not_valid_after_utc == certificate(SHARED.issuing.cert_pem).not_valid_after_utc
    with pytest.raises(SandboxError, match="has expired"):
        make_leaf(SHARED.issuing, [DOMAIN], now=NOW + timedelta(days=366))


def test_name_outside_the_constraints_is_not_signed() -> None:
    for hosts in (["example.com"], [DOMAIN, "10.0.0.1"], ["*.example.com"], []):
        with pytest.raises(UsageError) as caught:
            make_leaf(SHARED.issuing, hosts, now=NOW)
        assert caught.value.fix
    with pytest.raises(UsageError, match=r"example\.com"):
        make_issuing(SHARED.root, ["example.com"], now=NOW)
    with pytest.raises(UsageError):
        make_root([], now=NOW)


@pytest.mark.security(1, 6)
def test_keys_do_not_show_in_a_representation() -> None:
    """A key gets into a message → it does not show."""
    leaf = make_leaf(SHARED.issuing, [DOMAIN], now=NOW)
    assert "PRIVATE KEY" not in repr((SHARED, leaf))


@pytest.mark.security(1)
def test_authorities_are_for_servers_and_their_clients_only(tmp_path: Path) -> None:
    """The root is asked whether it may vouch for mail or code → OpenSSL says no."""
    for pair in (SHARED.root, SHARED.issuing):
        usages = certificate(pair.cert_pem).extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
        assert set(usages) == {ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH}
        (tmp_path / "authority.crt").write_bytes(pair.cert_pem)
        argv = ["openssl", "x509", "-in", "authority.crt", "-noout", "-purpose"]
        said = subprocess.run(argv, cwd=tmp_path, capture_output=True, text=True, check=True).stdout
        assert "SSL server CA : Yes" in said and "S/MIME signing CA : No" in said


def test_clients_that_trust_the_root_accept_exactly_the_leafs_names(tmp_path: Path) -> None:
    deep = f"api.team.{DOMAIN}"
    leaf = make_leaf(SHARED.issuing, [*subject_names(DOMAIN), deep], now=NOW)
    assert certificate(SHARED.issuing.cert_pem) == x509.load_pem_x509_certificates(leaf.cert_pem)[-1]
    for name in (DOMAIN, f"app.{DOMAIN}", deep, "localhost", "127.0.0.1", "::1"):
        for strict in (True, False):
            assert DOMAIN in handshake(leaf, name, SHARED.root.cert_pem, tmp_path, strict=strict)
    for name in ("other.sandbox.localhost", f"a.b.{DOMAIN}", "127.0.0.2", f"evil{DOMAIN}", "sandbox.localhost"):
        with pytest.raises(ssl.SSLCertVerificationError, match="mismatch"):
            handshake(leaf, name, SHARED.root.cert_pem, tmp_path)


@pytest.mark.fault(29)
def test_client_clock_behind_by_less_than_an_hour_accepts(tmp_path: Path) -> None:
    """A client's clock is 55 minutes behind → it accepts a new certificate."""
    ahead = make_pki(now=NOW + timedelta(minutes=55))
    leaf = make_leaf(ahead.issuing, [DOMAIN], now=NOW + timedelta(minutes=55))
    assert handshake(leaf, DOMAIN, ahead.root.cert_pem, tmp_path) == [DOMAIN]


@pytest.mark.security(1)
@pytest.mark.parametrize(
    ("host", "names"),
    [
        ("bank.example.com", [x509.DNSName("bank.example.com")]),
        ("evil-localhost", [x509.DNSName("evil-localhost")]),
        ("10.0.0.1", [x509.IPAddress(ip_address("10.0.0.1"))]),
        (DOMAIN, [x509.DNSName(DOMAIN), x509.RFC822Name("boss@bank.example.com")]),
        (DOMAIN, [x509.DNSName(DOMAIN), x509.UniformResourceIdentifier("spiffe://bank.example.com/x")]),
    ],
)
def test_stolen_issuing_key_cannot_sign_outside_names(host: str, names: list[x509.GeneralName], tmp_path: Path) -> None:
    """A stolen issuing key signs another host, a mail address or a URI → clients refuse it."""
    with pytest.raises(ssl.SSLCertVerificationError, match="permitted subtree violation"):
        handshake(rogue_leaf(SHARED.issuing, *names), host, SHARED.root.cert_pem, tmp_path)
