"""The checks of a request in order; after the first that fails, the others are skipped."""

from __future__ import annotations

from collections.abc import Iterator

from sandbox.doctor.check import Check, DoctorContext, Row, follow
from sandbox.doctor.tls import cluster_checks, edge_checks
from sandbox.doctor.tls.tls_context import RequestTrace, parse

CHECKS = (
    Check(
        "tls.name",
        "the host's name resolves to this machine",
        "add it to /etc/hosts: sandbox hosts install -n NAME",
        edge_checks.name,
    ),
    Check("tls.route", "the edge has the port, and a route for the host", "sandbox up{which}", edge_checks.route),
    Check(
        "tls.handshake",
        "the TLS handshake succeeds",
        "sandbox status{which}; if the node or the ingress is not ready, sandbox up{which}",
        edge_checks.handshake,
    ),
    Check(
        "tls.certificate",
        "the certificate is valid for the host",
        "sandbox certs renew{which}",
        edge_checks.certificate,
    ),
    Check(
        "tls.chain",
        "the chain of a sandbox's certificate ends at its root",
        "sandbox certs renew{which} --authority",
        edge_checks.chain,
    ),
    Check("tls.trusted", "this machine's programs accept it", "sandbox certs trust{which}", edge_checks.trusted),
    Check("tls.rule", "an Ingress or HTTPRoute has the host", "kubectl create ingress", cluster_checks.rule),
    Check("tls.endpoints", "its Services have ready pods", "kubectl describe pods", cluster_checks.endpoints),
    Check("tls.answer", "the application answers", "kubectl logs", cluster_checks.answer),
)


def examine(context: DoctorContext, text: str, *, named: bool) -> Iterator[Row]:
    """Trace a request to `text` (HOST or HOST:PORT); `named`: the user named the sandbox. Raises UsageError."""
    host, port = parse(text)
    yield from follow(CHECKS, RequestTrace(context, host, port, named))
