"""Authorities and leaves: their extensions, their dates, and three more verifiers' opinions of them."""

from __future__ import annotations

import ssl
import subprocess
from collections.abc import Sequence
from datetime import timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509 import verification
from cryptography.x509.oid import ExtendedKeyUsageOID
from hypothesis import given, settings
from hypothesis import strategies as st

from sandbox.components.certificates.authority import NOWHERE, make_issuing, make_leaf, make_root
from sandbox.components.certificates.facts import KeyPair
from sandbox.components.certificates.subject_names import subject_names
from sandbox.errors import SandboxError, UsageError
from tests.support.tls import DOMAIN, NOW, Pki, handshake, make_pki, rogue_leaf

SHARED = make_pki()


def certificate(cert_pem: bytes) -> x509.Certificate:
    return x509.load_pem_x509_certificate(cert_pem)


def san(leaf: KeyPair) -> list[str]:
    found = certificate(leaf.cert_pem).extensions.get_extension_for_class(x509.SubjectAlternativeName)
    return [str(name.value) for name in found.value]


def verify_by_cryptography(leaf: KeyPair, host: str, root_pem: bytes) -> Sequence[x509.Certificate]:
    builder = verification.PolicyBuilder().store(verification.Store([certificate(root_pem)])).time(NOW)
    try:
        subject: x509.GeneralName = x509.IPAddress(ip_address(host))
    except ValueError:
        subject = x509.DNSName(host)
    assert isinstance(subject, x509.DNSName | x509.IPAddress)
    first, *rest = x509.load_pem_x509_certificates(leaf.cert_pem)
    return builder.build_server_verifier(subject).verify(first, rest)


def verify_by_openssl(leaf: KeyPair, pki: Pki, folder: Path) -> subprocess.CompletedProcess[str]:
    files = {"root.crt": pki.root.cert_pem, "issuing.crt": pki.issuing.cert_pem, "leaf.crt": leaf.cert_pem}
    for name, data in files.items():
        (folder / name).write_bytes(data)
    argv = ["openssl", "verify", "-x509_strict", "-no-CApath", "-no-CAstore", "-purpose", "sslserver"]
    argv += ["-CAfile", "root.crt", "-untrusted", "issuing.crt", "-verify_hostname", DOMAIN, "leaf.crt"]
    return subprocess.run(argv, cwd=folder, capture_output=True, text=True, check=False)


@pytest.mark.security(1)
def test_each_authority_alone_refuses_a_name_outside_constraints() -> None:
    """A stolen issuing key signs for a bank → clients refuse it."""
    # Clients that ignore the root's constraints rely on the issuing authority's.
    wide = make_root([DOMAIN, "example.com"], now=NOW)
    narrow = make_issuing(wide, [DOMAIN], now=NOW)
    rogue = rogue_leaf(narrow, x509.DNSName("bank.example.com"))
    with pytest.raises(verification.VerificationError):
        verify_by_cryptography(rogue, "bank.example.com", wide.cert_pem)
    allowed = make_leaf(make_issuing(wide, ["example.com"], now=NOW), ["bank.example.com"], now=NOW)
    assert verify_by_cryptography(allowed, "bank.example.com", wide.cert_pem)


def test_the_leaf_has_the_extensions_strict_clients_ask_for() -> None:
    found = certificate(make_leaf(SHARED.issuing, [DOMAIN, "127.0.0.1"], now=NOW).cert_pem)
    by_type = {type(extension.value): extension for extension in found.extensions}
    constraints = by_type[x509.BasicConstraints]
    usage = by_type[x509.KeyUsage]
    issuer = certificate(SHARED.issuing.cert_pem)
    issuer_id = issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest
    assert constraints.critical and constraints.value == x509.BasicConstraints(ca=False, path_length=None)
    assert usage.critical and usage.value.public_bytes() == bytes.fromhex("03020780")  # digitalSignature alone
    assert by_type[x509.ExtendedKeyUsage].value == x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])
    assert by_type[x509.AuthorityKeyIdentifier].value == x509.AuthorityKeyIdentifier(issuer_id, None, None)
    assert by_type[x509.SubjectAlternativeName].critical and not list(found.subject)
    assert x509.SubjectKeyIdentifier in by_type
    assert found.signature_hash_algorithm is not None and found.signature_hash_algorithm.name == "sha256"


@pytest.mark.security(1)
def test_lives_and_serial_numbers() -> None:
    """New certificates → two years, one year, 90 days."""
    leaf = make_leaf(SHARED.issuing, [DOMAIN], now=NOW)
    for cert_pem, days in ((SHARED.root.cert_pem, 730), (SHARED.issuing.cert_pem, 365), (leaf.cert_pem, 90)):
        found = certificate(cert_pem)
        whole = NOW.replace(microsecond=0)
        assert found.not_valid_before_utc == whole - timedelta(hours=1)
        assert found.not_valid_after_utc == whole + timedelta(days=days)
        assert 0 < found.serial_number < 2**159
    again = make_leaf(SHARED.issuing, [DOMAIN], now=NOW)
    assert certificate(again.cert_pem).serial_number != certificate(leaf.cert_pem).serial_number


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


LABEL = st.from_regex(r"[a-z]([a-z0-9-]{0,20}[a-z0-9])?", fullmatch=True)
HOST = st.lists(LABEL, min_size=0, max_size=3).map(lambda labels: ".".join([*labels, DOMAIN]))
LOOPBACK = st.ip_addresses(network="127.0.0.0/8").map(str)


@settings(max_examples=40, deadline=None)
@given(hosts=st.lists(HOST | LOOPBACK, max_size=6))
def test_leaf_holds_exactly_the_requested_names_and_matches_each(hosts: list[str]) -> None:
    leaf = make_leaf(SHARED.issuing, [*subject_names(DOMAIN), *hosts], now=NOW)
    assert san(leaf) == list(dict.fromkeys([DOMAIN, f"*.{DOMAIN}", "localhost", "127.0.0.1", "::1", *hosts]))
    for host in (*hosts, "localhost", f"any.{DOMAIN}"):
        verify_by_cryptography(leaf, host, SHARED.root.cert_pem)


@pytest.mark.security(1)
@pytest.mark.parametrize(
    "name", [x509.RFC822Name("boss@bank.example.com"), x509.UniformResourceIdentifier("spiffe://bank.example.com/x")]
)
def test_stolen_key_signs_no_mail_address_or_uri(name: x509.GeneralName, tmp_path: Path) -> None:
    """A stolen issuing key signs a leaf with a mail address, or a URI → OpenSSL refuses it, as name and as purpose."""
    leaf = rogue_leaf(SHARED.issuing, x509.DNSName(DOMAIN), name)
    result = verify_by_openssl(leaf, SHARED, tmp_path)
    assert result.returncode != 0
    assert "permitted subtree violation" in result.stderr


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


@pytest.mark.parametrize(
    ("name", "san"),
    [
        ("bank.example.com", x509.DNSName("bank.example.com")),
        ("evil-localhost", x509.DNSName("evil-localhost")),
        ("10.0.0.1", x509.IPAddress(ip_address("10.0.0.1"))),
    ],
)
def test_stolen_issuing_key_cannot_sign_outside_names(name: str, san: x509.GeneralName, tmp_path: Path) -> None:
    with pytest.raises(ssl.SSLCertVerificationError, match="permitted subtree violation"):
        handshake(rogue_leaf(SHARED.issuing, san), name, SHARED.root.cert_pem, tmp_path)
