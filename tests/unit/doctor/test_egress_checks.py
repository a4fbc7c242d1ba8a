"""The way out: what a pod wrote, the pod itself, and a handshake carried to a real TLS server and back."""

from __future__ import annotations

import base64
import ssl
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sandbox.components.certificates.authority import make_leaf
from sandbox.config.schema import ResolvedSpec
from sandbox.doctor import egress_checks
from sandbox.doctor.check import DoctorContext, Status, error, ok
from sandbox.doctor.egress_checks import EgressTrace, Hello, Refused, examine, received, resolved
from sandbox.errors import UsageError
from tests.support.api_server import ApiServer, kubeconfig, serving
from tests.support.tls import DOMAIN, NOW, Pki, make_pki, presenting

FOUND = "Server: s\nAddress: s:53\n\nName:\tn\nAddress: 10.1.1.1\n"
UNKNOWN = "** server can't find n.: NXDOMAIN"
SILENT = ";; connection timed out; no servers could be reached"


def trace(context: DoctorContext, *, host: str = "n.example", **parts: str) -> EgressTrace:
    """A trace whose pod wrote `parts`."""
    made = EgressTrace(context, host, 443, Hello(host))
    made.__dict__["parts"] = parts
    return made


def through(context: DoctorContext, url: str) -> DoctorContext:
    spec = ResolvedSpec.model_validate({"name": "demo", "network": {"proxy": {"https": url}}})
    return replace(context, spec=spec)


def test_names_of_the_cluster_and_of_the_destination(context: DoctorContext) -> None:
    assert egress_checks.cluster_dns(trace(context, cluster=FOUND)).status is Status.OK
    found = egress_checks.cluster_dns(trace(context, cluster=SILENT))
    assert found == error("kubernetes.default.svc.cluster.local: connection timed out; no servers could be reached")
    assert egress_checks.name(trace(context, name=FOUND)) == ok("n.example is 10.1.1.1")
    assert egress_checks.name(trace(context, name=UNKNOWN)).status is Status.ERROR
    assert egress_checks.name(trace(context, host="10.0.0.1")).status is Status.SKIPPED
    assert egress_checks.name(trace(through(context, "http://p:1"), name=UNKNOWN)).status is Status.WARN


def connected(context: DoctorContext, text: str) -> EgressTrace:
    made = trace(context)
    made.parts["connect 10.1.1.1"] = text
    return made


def test_connection_that_a_pod_does_not_get_is_reported(context: DoctorContext) -> None:
    accepted, refused = (egress_checks.tcp(connected(context, text)) for text in ("", "nc: timed out"))
    assert accepted == ok("n.example:443 at 10.1.1.1 accepts connections")
    assert refused == error("n.example:443 at 10.1.1.1: timed out")
    nowhere = trace(context)
    nowhere.parts["connect "] = ""
    assert egress_checks.tcp(nowhere) == error("n.example:443 has no address")


@pytest.mark.parametrize(
    ("answer", "status", "evidence"),
    [
        (b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n", Status.SKIPPED, "the proxy requires a login"),
        (b"HTTP/1.1 403 Forbidden\r\n\r\n", Status.ERROR, "the proxy answers HTTP/1.1 403 Forbidden"),
        (b"", Status.ERROR, "the proxy answers nothing"),
        (b"HTTP/1.1 200 OK\r\n\r\n", Status.ERROR, "n.example:443 does not answer"),
        (b"HTTP/1.1 200 OK\r\n\r\nplain", Status.ERROR, "n.example:443: "),
    ],
)
def test_answer_of_a_proxy_is_judged(context: DoctorContext, answer: bytes, status: Status, evidence: str) -> None:
    made = connected(through(context, "http://user:secret@proxy.example:3128"), base64.b64encode(answer).decode())
    found = egress_checks.tls(made)
    assert found.status is status and found.evidence.startswith(evidence)
    assert egress_checks.tcp(made) == ok("the proxy proxy.example:3128 at 10.1.1.1 accepts connections")


class Ending(dict[str, Any]):
    """A cluster in which pods end as soon as they are made."""

    def __setitem__(self, path: str, live: Any) -> None:
        super().__setitem__(path, {**live, "status": {"phase": "Succeeded"}} if live["kind"] == "Pod" else live)


@pytest.fixture
def server(context: DoctorContext) -> Iterator[ApiServer]:
    first, *others = examine(context, "n.example:8443")
    assert (first.status, first.evidence) == (Status.ERROR, "there is no sandbox yet")
    assert {each.status for each in others} == {Status.SKIPPED}
    context.names.folder.mkdir(parents=True)
    with serving() as server:
        server.objects = Ending()
        kubeconfig(context.names.kubeconfig, server.server_address[1])
        yield server


def test_the_pod_is_gone_afterwards_and_so_is_one_that_was_left(context: DoctorContext, server: ApiServer) -> None:
    with pytest.raises(UsageError):
        list(examine(context, "a b"))
    metadata = {"name": "old", "labels": {"sandbox.dev/doctor": "true"}}
    old = {"kind": "Pod", "metadata": metadata, "status": {"phase": "Succeeded"}}
    server.objects["/api/v1/namespaces/default/pods/old"] = old
    rows = list(examine(context, "n.example"))
    assert [(row.id, row.status) for row in rows] == [
        (check.id, Status.SKIPPED if at else Status.ERROR) for at, check in enumerate(egress_checks.CHECKS)
    ]
    made = [path for verb, path, *_ in server.asked if verb == "PATCH"]
    assert len(made) == 1 and not server.objects


LOG = """\
=== name
Server:\t\t10.96.0.10
Address:\t10.96.0.10:53

Name:\tn.example
Address: 10.1.1.1

=== status 0
=== connect 10.0.0.9
nc: can't connect to remote host (10.0.0.9): Connection refused
=== status 0
"""


def test_servers_output_is_distinguished_from_ncs() -> None:
    data = bytes(range(256))
    assert received(base64.encodebytes(data).decode()) == ("", data)
    parts = egress_checks.read(LOG)
    assert list(parts) == ["name", "connect 10.0.0.9"] and resolved(parts["name"])[0] == "10.1.1.1"
    refused = ("can't connect to remote host (10.0.0.9): Connection refused", b"")
    assert received(parts["connect 10.0.0.9"]) == refused
    assert received("no base64 at all!!") == ("", b"")


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
def test_untrusted_ca_or_another_host_is_refused(pki: Pki, tmp_path: Path, newest: bool) -> None:
    """TLS answered with a certificate of an unknown authority, or of another host → the doctor says so."""
    unknown, other = Hello(HOST), Hello(HOST)
    with pytest.raises(Refused, match="certificate"):
        unknown.judge(first_flight(unknown, make_pki(), tmp_path, newest=newest))
    with pytest.raises(Refused, match="Hostname mismatch"):
        other.judge(first_flight(other, pki, tmp_path, host=f"other.{DOMAIN}"))


@pytest.mark.parametrize("answer", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"", b"\x16\x03\x03\x00"])
def test_broken_or_missing_tls_is_refused(pki: Pki, answer: bytes) -> None:
    with pytest.raises(Refused):
        Hello(HOST).judge(answer)
