"""The root in the formats of other programs: what is in them, that nothing secret is, and that Python obeys them."""

from __future__ import annotations

import re
import ssl
from pathlib import Path

import certifi
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import pkcs12

from sandbox.components.certificates import export_formats
from sandbox.components.certificates.authority import make_leaf
from sandbox.components.certificates.export_formats import FORMATS, public_roots
from sandbox.truststore.java import JAVA_PASSWORD
from tests.support.tls import DOMAIN, NOW, handshake, make_pki

# A public root has a serial number of zero.
pytestmark = pytest.mark.filterwarnings("ignore:Parsed a serial number")

PKI = make_pki()
ROOT = PKI.root.cert_pem
PUBLIC = Path(certifi.where()).read_bytes()


def in_java(store: bytes) -> list[x509.Certificate]:
    found = pkcs12.load_pkcs12(store, JAVA_PASSWORD.encode())
    assert found.key is None and found.cert is None
    return [one.certificate for one in found.additional_certs]


def test_a_bundle_holds_the_public_roots_and_ours_once(tmp_path: Path) -> None:
    assert FORMATS["pem"](ROOT + PKI.issuing.cert_pem, PUBLIC) == ROOT
    bundle = FORMATS["bundle"](ROOT, PUBLIC + ROOT)
    assert bundle.startswith(ROOT) and bundle.count(ROOT) == 1
    known = ssl.create_default_context(cadata=bundle.decode()).cert_store_stats()["x509_ca"]
    assert known == 1 + PUBLIC.count(b"BEGIN CERTIFICATE")
    handshake(make_leaf(PKI.issuing, [DOMAIN], now=NOW), DOMAIN, bundle, tmp_path)
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(make_leaf(make_pki().issuing, [DOMAIN], now=NOW), DOMAIN, bundle, tmp_path)


def test_comments_and_damage_among_public_roots_are_skipped() -> None:
    damaged = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
    public = "# Bücher CA\n".encode() + damaged + PUBLIC
    assert FORMATS["bundle"](ROOT, public).count(b"BEGIN") == 2 + PUBLIC.count(b"BEGIN")
    assert len(in_java(FORMATS["p12"](ROOT, public))) == 1 + PUBLIC.count(b"BEGIN")


@pytest.mark.security(1)
@pytest.mark.parametrize("form", FORMATS)
def test_no_format_holds_a_key(form: str) -> None:
    """An export from a file that holds a key too → the key stays behind."""
    # Not even when a careless file has one next to the certificate.
    exported = FORMATS[form](PKI.root.key_pem + ROOT, PKI.root.key_pem + PUBLIC)
    secret = b"".join(re.findall(rb"^[A-Za-z0-9+/=]+$", PKI.root.key_pem, re.MULTILINE))
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
