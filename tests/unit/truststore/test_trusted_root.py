"""Telling a sandbox's root from every other certificate, in whatever it stands."""

from __future__ import annotations

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA1, SHA256

from sandbox.components.certificates.authority import make_issuing, make_root
from sandbox.errors import SandboxError
from sandbox.truststore.trusted_root import in_binary, in_pem, parse
from tests.support.trust_roots import NOW, ours, stranger


def test_a_root_has_the_fingerprints_that_tools_show() -> None:
    root = ours()
    certificate = x509.load_der_x509_certificate(root.der)
    assert root.sha256 == certificate.fingerprint(SHA256()).hex()
    assert root.sha1 == certificate.fingerprint(SHA1()).hex().upper()  # noqa: S303
    assert root.label == f"sandbox-root-{root.sha256[:8]}"
    assert root.common_name in certificate.subject.rfc4514_string()
    assert parse(root.pem) == root


@pytest.mark.parametrize("text", [b"", b"words", b"-----BEGIN CERTIFICATE-----\nA\n-----END CERTIFICATE-----\n"])
def test_what_is_no_certificate_is_refused(text: bytes) -> None:
    with pytest.raises(SandboxError, match="not a certificate"):
        parse(text)


def test_only_roots_of_sandboxes_are_found_in_a_bundle() -> None:
    pair = make_root(["demo.sandbox.localhost"], now=NOW)
    issuing = make_issuing(pair, ["demo.sandbox.localhost"], now=NOW)
    bundle = stranger() + ours(1).pem + issuing.cert_pem + stranger("Other") + ours(2).pem + ours(1).pem
    assert in_pem(bundle) == (ours(1), ours(2))
    assert in_pem(b"# nothing\n") == ()


def test_roots_are_found_between_other_bytes() -> None:
    other = parse(stranger()).der
    assert in_binary(b"\xfe\xed" + other + b"\0\0" + ours(1).der + other + ours(2).der + b"\x30\x82") == (
        ours(1),
        ours(2),
    )
    assert in_binary(other) == ()
