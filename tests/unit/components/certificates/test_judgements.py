"""Judgements no file on disk is needed for: forged signatures, wrong chains, certificates that are no authority."""

from __future__ import annotations

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
    judge_authority,
    judge_leaf,
)
from tests.support.tls import DOMAIN, NOW, make_pki

PKI = make_pki()
LEAF = make_leaf(PKI.issuing, [DOMAIN], now=NOW)


def judge(leaf: KeyPair) -> Condition:
    return judge_leaf(leaf, issuing_pem=PKI.issuing.cert_pem, hosts=[DOMAIN], now=NOW)


def with_spoilt_signature(cert_pem: bytes) -> bytes:
    """The first certificate of `cert_pem` with the last bit of its signature turned."""
    certificate = pem.load_certificates(cert_pem)[0]
    der = bytearray(certificate.public_bytes(Encoding.DER))
    der[-1] ^= 1
    return pem.dump_certificate(x509.load_der_x509_certificate(bytes(der)))


@pytest.mark.parametrize(
    "rest",
    [b"", PKI.root.cert_pem, PKI.issuing.cert_pem * 2, PKI.issuing.cert_pem + PKI.root.cert_pem],
    ids=["none", "the root", "twice", "and the root"],
)
def test_a_chain_of_anything_but_leaf_and_issuer_is_broken(rest: bytes) -> None:
    alone = pem.dump_certificate(pem.load_certificates(LEAF.cert_pem)[0])
    assert judge(KeyPair(LEAF.key_pem, alone + rest)) == broken("issuer changed")


def test_a_forged_signature_is_broken() -> None:
    forged = with_spoilt_signature(LEAF.cert_pem) + PKI.issuing.cert_pem
    assert judge(KeyPair(LEAF.key_pem, forged)) == broken("issuer changed")
    root = KeyPair(PKI.root.key_pem, with_spoilt_signature(PKI.root.cert_pem))
    assert judge_authority(root, issuer_pem=None, domains=[DOMAIN], now=NOW) == broken("issuer changed")


def test_an_issuing_authority_of_another_root_is_broken() -> None:
    other = make_pki().root.cert_pem
    assert judge_authority(PKI.issuing, issuer_pem=other, domains=[DOMAIN], now=NOW) == broken("issuer changed")
    own = judge_authority(PKI.issuing, issuer_pem=PKI.root.cert_pem, domains=[DOMAIN], now=NOW)
    assert own == Condition(CertificateState.GOOD)


def test_a_leaf_is_no_authority() -> None:
    leaf = LEAF
    found = judge_authority(leaf, issuer_pem=PKI.issuing.cert_pem, domains=[DOMAIN], now=NOW)
    assert found == broken("not the certificate of an authority")
