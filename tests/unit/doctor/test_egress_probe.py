"""The output of busybox as the doctor reads it, and a handshake carried to a real TLS server and back."""

from __future__ import annotations

import base64
import ssl
from contextlib import suppress
from pathlib import Path

import pytest

from sandbox.components.certificates.authority import make_leaf
from sandbox.doctor import egress_checks
from sandbox.doctor.egress_checks import Hello, Part, Refused, received
from tests.support.tls import DOMAIN, NOW, Pki, make_pki, presenting

LOG = """\
=== cluster
Server:\t\t10.96.0.10
Address:\t10.96.0.10:53

Name:\tkubernetes.default.svc.cluster.local
Address: 10.96.0.1

=== status 0
=== name
Server:\t\t10.96.0.10
Address:\t10.96.0.10:53

** server can't find nosuch.example.: NXDOMAIN
=== status 1
=== connect 10.0.0.9
nc: can't connect to remote host (10.0.0.9): Connection refused
=== status 0
"""


def test_every_part_is_found_with_what_it_came_to() -> None:
    parts = egress_checks.read(LOG)
    assert list(parts) == ["cluster", "name", "connect 10.0.0.9"]
    assert parts["cluster"].addresses == ("10.96.0.1",)
    assert parts["name"].last_line == "server can't find nosuch.example.: NXDOMAIN" and parts["name"].addresses == ()
    assert egress_checks.read("") == {}


def test_servers_output_is_distinguished_from_ncs() -> None:
    data = bytes(range(256))
    assert received(Part(base64.encodebytes(data).decode())) == ("", data)
    trouble, answer = received(egress_checks.read(LOG)["connect 10.0.0.9"])
    assert (trouble, answer) == ("can't connect to remote host (10.0.0.9): Connection refused", b"")
    assert received(Part("no base64 at all!!")) == ("", b"")


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
    context = presenting(make_leaf(pki.issuing, (host,), now=NOW), folder)
    context.maximum_version = ssl.TLSVersion.MAXIMUM_SUPPORTED if newest else ssl.TLSVersion.TLSv1_2
    if curve:
        context.set_ecdh_curve(curve)
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    incoming.write(hello.client_hello)
    with suppress(ssl.SSLWantReadError):
        context.wrap_bio(incoming, outgoing, server_side=True).do_handshake()
    return outgoing.read()


@pytest.mark.parametrize(
    ("newest", "curve", "judgement"),
    [
        (True, "", f"TLSv1.3, the certificate for {HOST} is by "),
        (False, "", "TLSv1.2, the certificate is accepted"),
        (True, "secp521r1", "TLSv1.3, the server requests another key"),
    ],
)
def test_trusted_certificate_is_accepted(pki: Pki, tmp_path: Path, newest: bool, curve: str, judgement: str) -> None:
    hello = Hello(HOST)
    assert hello.judge(first_flight(hello, pki, tmp_path, newest=newest, curve=curve)).startswith(judgement)


def test_tls_that_a_company_opens_is_told(pki: Pki, tmp_path: Path) -> None:
    by = make_pki()
    hello = Hello(HOST, by.issuing.cert_pem + by.root.cert_pem)
    said = hello.judge(first_flight(hello, by, tmp_path))
    assert said.endswith(", the company's CA: TLS is opened on the way")
    hello = Hello(HOST, by.root.cert_pem)
    assert "opened" not in hello.judge(first_flight(hello, pki, tmp_path))


@pytest.mark.fault(55)
@pytest.mark.parametrize("newest", [True, False])
def test_untrusted_ca_is_refused(pki: Pki, tmp_path: Path, newest: bool) -> None:
    """TLS answered with a certificate of an unknown authority → the doctor says so."""
    hello = Hello(HOST)
    with pytest.raises(Refused, match="certificate"):
        hello.judge(first_flight(hello, make_pki(), tmp_path, newest=newest))


def test_certificate_of_another_host_is_refused(pki: Pki, tmp_path: Path) -> None:
    hello = Hello(HOST)
    with pytest.raises(Refused, match="Hostname mismatch"):
        hello.judge(first_flight(hello, pki, tmp_path, host=f"other.{DOMAIN}"))


@pytest.mark.parametrize("answer", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"", b"\x16\x03\x03\x00"])
def test_broken_or_missing_tls_is_refused(pki: Pki, answer: bytes) -> None:
    with pytest.raises(Refused):
        Hello(HOST).judge(answer)
