"""The facts shown of a certificate are those that openssl shows; forged signatures and wrong chains are broken."""

from __future__ import annotations

import subprocess
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from sandbox.components.certificates import pem
from sandbox.components.certificates.authority import make_leaf
from sandbox.components.certificates.facts import (
    CertificateState,
    Condition,
    KeyPair,
    broken,
    describe,
    judge_authority,
    judge_leaf,
)
from sandbox.components.certificates.subject_names import subject_names
from sandbox.errors import SandboxError
from tests.support.tls import DOMAIN, NOW, make_pki

PKI = make_pki()
LEAF = make_leaf(PKI.issuing, subject_names(DOMAIN), now=NOW)


def test_facts_of_a_root_agree_with_openssl(tmp_path: Path) -> None:
    (tmp_path / "root.crt").write_bytes(PKI.root.cert_pem)
    options = ["-noout", "-fingerprint", "-sha256", "-subject", "-nameopt", "rfc2253"]
    argv = ["openssl", "x509", "-in", "root.crt", *options]
    shown = subprocess.run(argv, cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    facts = describe(PKI.root.cert_pem, now=NOW)
    assert facts.sha256 in shown
    assert f"subject={facts.subject}" in shown
    assert facts.subject == facts.issuer
    assert facts.authority and facts.permitted == (DOMAIN, "localhost") and facts.hosts == ()


def test_facts_of_a_chain_are_those_of_the_leaf() -> None:
    facts = describe(LEAF.cert_pem, now=NOW + timedelta(days=10))
    assert (facts.hosts, facts.permitted, facts.subject, facts.days_left) == (subject_names(DOMAIN), (), "", 79)
    assert facts.issuer == describe(PKI.issuing.cert_pem, now=NOW).subject and not facts.authority


@pytest.mark.parametrize("damaged", [b"", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"])
def test_non_certificate_is_an_error_with_a_fix(damaged: bytes) -> None:
    with pytest.raises(SandboxError, match="cannot be read") as caught:
        describe(damaged, now=NOW)
    assert caught.value.fix


def judge(chain_pem: bytes) -> Condition:
    leaf = KeyPair(LEAF.key_pem, chain_pem)
    return judge_leaf(leaf, issuing_pem=PKI.issuing.cert_pem, hosts=subject_names(DOMAIN), now=NOW)


def with_spoilt_signature(cert_pem: bytes) -> bytes:
    """The first certificate of `cert_pem` with the last bit of its signature turned."""
    der = bytearray(pem.load_certificates(cert_pem)[0].public_bytes(Encoding.DER))
    der[-1] ^= 1
    return pem.dump_certificate(x509.load_der_x509_certificate(bytes(der)))


@pytest.mark.parametrize(
    "rest",
    [b"", PKI.root.cert_pem, PKI.issuing.cert_pem * 2, PKI.issuing.cert_pem + PKI.root.cert_pem],
    ids=["none", "the root", "twice", "and the root"],
)
def test_a_chain_of_anything_but_leaf_and_issuer_is_broken(rest: bytes) -> None:
    alone = pem.dump_certificate(pem.load_certificates(LEAF.cert_pem)[0])
    assert judge(alone + rest) == broken("issuer changed")


def test_a_forged_signature_is_broken() -> None:
    assert judge(with_spoilt_signature(LEAF.cert_pem) + PKI.issuing.cert_pem) == broken("issuer changed")
    root = KeyPair(PKI.root.key_pem, with_spoilt_signature(PKI.root.cert_pem))
    assert judge_authority(root, issuer_pem=None, domains=[DOMAIN], now=NOW) == broken("issuer changed")


def test_authority_of_another_root_and_a_leaf_are_no_authority_here() -> None:
    for pair, issuer_pem, condition in (
        (PKI.issuing, PKI.root.cert_pem, Condition(CertificateState.GOOD)),
        (PKI.issuing, make_pki().root.cert_pem, broken("issuer changed")),
        (LEAF, PKI.issuing.cert_pem, broken("not the certificate of an authority")),
    ):
        assert judge_authority(pair, issuer_pem=issuer_pem, domains=[DOMAIN], now=NOW) == condition
