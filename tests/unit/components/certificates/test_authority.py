"""Authorities and leaves: their constraints, their dates, what clients accept, and the root in other formats."""

from __future__ import annotations

import re
import ssl
import subprocess
from datetime import timedelta
from ipaddress import ip_address
from pathlib import Path

import certifi
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import pkcs12
from cryptography.x509.oid import ExtendedKeyUsageOID

from sandbox.components.certificates import export_formats
from sandbox.components.certificates.authority import NOWHERE, make_issuing, make_leaf, make_root
from sandbox.components.certificates.export_formats import FORMATS, public_roots
from sandbox.components.certificates.subject_names import subject_names
from sandbox.errors import SandboxError, UsageError
from sandbox.truststore.java import JAVA_PASSWORD
from tests.support.tls import DOMAIN, NOW, handshake, make_pki, rogue_leaf

# cryptography warns of a root among certifi's whose serial number is zero.
pytestmark = pytest.mark.filterwarnings("ignore:Parsed a serial number")

SHARED = make_pki()
ROOT = SHARED.root.cert_pem
PUBLIC = Path(certifi.where()).read_bytes()


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


@pytest.mark.security(1)
def test_both_authorities_are_constrained_to_the_domain_and_to_tls(tmp_path: Path) -> None:
    """The root is asked whether it may vouch for mail or code → OpenSSL says no."""
    for pair, path_length in ((SHARED.root, 1), (SHARED.issuing, 0)):
        extensions = certificate(pair.cert_pem).extensions
        constraints = extensions.get_extension_for_class(x509.NameConstraints)
        basic = extensions.get_extension_for_class(x509.BasicConstraints)
        permitted = [str(name.value) for name in constraints.value.permitted_subtrees or ()]
        assert constraints.critical and permitted == [DOMAIN, "localhost", "127.0.0.0/8", "::1/128", NOWHERE, NOWHERE]
        assert basic.critical and basic.value == x509.BasicConstraints(ca=True, path_length=path_length)
        usages = extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
        assert set(usages) == {ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH}
        (tmp_path / "authority.crt").write_bytes(pair.cert_pem)
        argv = ["openssl", "x509", "-in", "authority.crt", "-noout", "-purpose"]
        said = subprocess.run(argv, cwd=tmp_path, capture_output=True, text=True, check=True).stdout
        assert "SSL server CA : Yes" in said and "S/MIME signing CA : No" in said


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


def in_java(store: bytes) -> list[x509.Certificate]:
    found = pkcs12.load_pkcs12(store, JAVA_PASSWORD.encode())
    assert found.key is None and found.cert is None
    return [one.certificate for one in found.additional_certs]


def test_exported_bundle_holds_the_public_roots_and_ours_once(tmp_path: Path) -> None:
    assert FORMATS["pem"](ROOT + SHARED.issuing.cert_pem, PUBLIC) == ROOT
    bundle = FORMATS["bundle"](ROOT, PUBLIC + ROOT)
    assert bundle.startswith(ROOT) and bundle.count(ROOT) == 1
    known = ssl.create_default_context(cadata=bundle.decode()).cert_store_stats()["x509_ca"]
    assert known == 1 + PUBLIC.count(b"BEGIN CERTIFICATE")
    handshake(make_leaf(SHARED.issuing, [DOMAIN], now=NOW), DOMAIN, bundle, tmp_path)
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(make_leaf(make_pki().issuing, [DOMAIN], now=NOW), DOMAIN, bundle, tmp_path)


def test_comments_and_damage_among_public_roots_are_skipped() -> None:
    damaged = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
    public = "# Bücher CA\n".encode() + damaged + PUBLIC
    assert FORMATS["bundle"](ROOT, public).count(b"BEGIN") == 2 + PUBLIC.count(b"BEGIN")
    assert len(in_java(FORMATS["p12"](ROOT, public))) == 1 + PUBLIC.count(b"BEGIN")


@pytest.mark.security(1)
@pytest.mark.parametrize("form", FORMATS)
def test_no_export_holds_a_key(form: str) -> None:
    """An export from a file that holds a key too → the key stays behind."""
    exported = FORMATS[form](SHARED.root.key_pem + ROOT, SHARED.root.key_pem + PUBLIC)
    secret = b"".join(re.findall(rb"^[A-Za-z0-9+/=]+$", SHARED.root.key_pem, re.MULTILINE))
    assert b"PRIVATE KEY" not in exported and secret[:40] not in exported


def test_public_roots_come_from_system_not_an_earlier_export(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    system, earlier = tmp_path / "system.pem", tmp_path / "earlier.pem"
    system.write_bytes(PUBLIC)
    earlier.write_bytes(ROOT)
    monkeypatch.setenv("SSL_CERT_FILE", str(earlier))
    monkeypatch.setattr(export_formats, "SYSTEM_BUNDLES", (str(tmp_path / "none"), str(system), str(earlier)))
    assert public_roots() == PUBLIC
    monkeypatch.setattr(export_formats, "SYSTEM_BUNDLES", (str(tmp_path / "none"),))
    assert public_roots() == PUBLIC
