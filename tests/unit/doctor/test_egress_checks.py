"""The rows of the way out, by what a pod wrote; and the pod itself, by what the API server is asked."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from sandbox.config.schema import ResolvedSpec
from sandbox.doctor import egress_checks
from sandbox.doctor.check import DoctorContext, Status, error, ok
from sandbox.doctor.egress_checks import EgressTrace, Hello, Part, examine
from sandbox.errors import UsageError
from tests.support.api_server import ApiServer, kubeconfig, serving

FOUND = "Server: s\nAddress: s:53\n\nName:\tn\nAddress: 10.1.1.1\n"
UNKNOWN = "** server can't find n.: NXDOMAIN"
SILENT = ";; connection timed out; no servers could be reached"


def trace(context: DoctorContext, *, host: str = "n.example", **parts: str) -> EgressTrace:
    """A trace whose pod wrote `parts`."""
    made = EgressTrace(context, host, 443, Hello(host))
    made.__dict__["parts"] = {title: Part(text) for title, text in parts.items()}
    return made


def through(context: DoctorContext, url: str) -> DoctorContext:
    spec = ResolvedSpec.model_validate({"name": "demo", "network": {"proxy": {"https": url}}})
    return replace(context, spec=spec)


def test_names_of_the_cluster(context: DoctorContext) -> None:
    assert egress_checks.cluster_dns(trace(context, cluster=FOUND)).status is Status.OK
    found = egress_checks.cluster_dns(trace(context, cluster=SILENT))
    name = "kubernetes.default.svc.cluster.local"
    assert found == error(f"{name}: connection timed out; no servers could be reached")


def test_the_destination_s_name(context: DoctorContext) -> None:
    assert egress_checks.name(trace(context, name=FOUND)) == ok("n.example is 10.1.1.1")
    assert egress_checks.name(trace(context, name=UNKNOWN)).status is Status.ERROR
    assert egress_checks.name(trace(context, host="10.0.0.1")).status is Status.SKIPPED
    assert egress_checks.name(trace(through(context, "http://p:1"), name=UNKNOWN)).status is Status.WARN


def connected(context: DoctorContext, text: str) -> EgressTrace:
    made = trace(context)
    made.parts["connect 10.1.1.1"] = Part(text)
    return made


def test_connection_that_a_pod_does_not_get_is_reported(context: DoctorContext) -> None:
    accepted, refused = (egress_checks.tcp(connected(context, text)) for text in ("", "nc: timed out"))
    assert accepted == ok("n.example:443 at 10.1.1.1 accepts connections")
    assert refused == error("n.example:443 at 10.1.1.1: timed out")
    nowhere = trace(context)
    nowhere.parts["connect "] = Part("")
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
