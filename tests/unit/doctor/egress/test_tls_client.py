"""A handshake whose bytes the test carries to a real TLS server and back."""

from __future__ import annotations

import ssl
from contextlib import suppress
from pathlib import Path

import pytest

from sandbox.components.certificates.authority import make_leaf
from sandbox.doctor.egress.tls_client import Hello, Refused
from tests.support.tls import DOMAIN, NOW, Pki, make_pki

HOST = f"app.{DOMAIN}"


@pytest.fixture
def pki(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Pki:
    """An authority that this machine trusts."""
    made = make_pki()
    (tmp_path / "roots.pem").write_bytes(made.root.cert_pem)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "roots.pem"))
    return made


def first_flight(
    hello: Hello, pki: Pki, folder: Path, *, host: str = HOST, newest: bool = True, curve: str = ""
) -> bytes:
    """What a server with a certificate for `host` answers to a client's first words."""
    leaf = make_leaf(pki.issuing, (host,), now=NOW)
    (folder / "served.pem").write_bytes(leaf.key_pem + leaf.chain_pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "served.pem")
    context.maximum_version = ssl.TLSVersion.MAXIMUM_SUPPORTED if newest else ssl.TLSVersion.TLSv1_2
    if curve:
        context.set_ecdh_curve(curve)
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    incoming.write(hello.first_words)
    with suppress(ssl.SSLWantReadError):
        context.wrap_bio(incoming, outgoing, server_side=True).do_handshake()
    return outgoing.read()


def test_a_certificate_of_an_authority_that_is_trusted_is_named(pki: Pki, tmp_path: Path) -> None:
    hello = Hello(HOST)
    said = hello.judge(first_flight(hello, pki, tmp_path))
    assert said.startswith(f"TLSv1.3, the certificate for {HOST} is by ")


def test_an_older_server_is_judged_too(pki: Pki, tmp_path: Path) -> None:
    hello = Hello(HOST)
    assert hello.judge(first_flight(hello, pki, tmp_path, newest=False)) == "TLSv1.2, the certificate is accepted"


def test_a_server_that_wants_another_key_is_not_judged(pki: Pki, tmp_path: Path) -> None:
    hello = Hello(HOST)
    said = hello.judge(first_flight(hello, pki, tmp_path, curve="secp521r1"))
    assert said.startswith("TLSv1.3, the server wants another key")


@pytest.mark.fault(55)
@pytest.mark.parametrize("newest", [True, False])
def test_an_authority_that_nobody_trusts_is_refused(pki: Pki, tmp_path: Path, newest: bool) -> None:
    """TLS answered with a certificate of an unknown authority → the doctor says so."""
    hello = Hello(HOST)
    with pytest.raises(Refused, match="certificate"):
        hello.judge(first_flight(hello, make_pki(), tmp_path, newest=newest))


def test_another_host_s_certificate_is_refused(pki: Pki, tmp_path: Path) -> None:
    hello = Hello(HOST)
    with pytest.raises(Refused, match="Hostname mismatch"):
        hello.judge(first_flight(hello, pki, tmp_path, host=f"other.{DOMAIN}"))


@pytest.mark.parametrize("answer", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"", b"\x16\x03\x03\x00"])
def test_what_is_no_tls_or_breaks_off_is_refused(pki: Pki, answer: bytes) -> None:
    with pytest.raises(Refused):
        Hello(HOST).judge(answer)
