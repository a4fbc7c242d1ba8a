"""The order in which a request is followed; after the first step that fails the rest is not judged."""

from __future__ import annotations

from collections.abc import Iterator

from sandbox.doctor.check import Check, Row, Status, row, run, skipped
from sandbox.doctor.doctor_context import DoctorContext
from sandbox.doctor.tls import cluster_checks, edge_checks, verifiers
from sandbox.doctor.tls.tls_context import RequestTrace, parse

PATIENCE = 90.0

# Each group is looked at at once.
STEPS: tuple[tuple[Check[RequestTrace], ...], ...] = (
    (Check("tls.name", "the host's name leads to this machine", "add it to /etc/hosts", edge_checks.name),),
    (Check("tls.port", "the edge listens where the request goes", "sandbox up{which}", edge_checks.port),),
    (Check("tls.route", "the edge has a route for the host", "sandbox up{which}", edge_checks.route),),
    (
        Check(
            "tls.handshake",
            "a TLS connection comes about",
            "sandbox status{which}; when the node or the ingress is not ready, sandbox up{which}",
            edge_checks.handshake,
        ),
    ),
    (
        Check(
            "tls.certificate",
            "the certificate is the right one for the host",
            "sandbox certs renew{which}",
            edge_checks.certificate,
        ),
    ),
    (Check("tls.chain", "the certificate leads to the sandbox's root", "sandbox up{which}", edge_checks.chain),),
    verifiers.CHECKS,
    (Check("tls.rule", "an Ingress or HTTPRoute has the host", "kubectl create ingress", cluster_checks.rule),),
    (Check("tls.endpoints", "pods that are ready stand behind it", "kubectl describe pods", cluster_checks.endpoints),),
    (Check("tls.answer", "the application answers", "kubectl logs", cluster_checks.answer),),
)


def examine(context: DoctorContext, text: str, *, named: bool) -> Iterator[Row]:
    """Follow a request to `text` (HOST or HOST:PORT), a row a step as soon as it is known.

    `named` is whether `context` is about a sandbox that the user named. Raises UsageError for what is no host.
    """
    host, port = parse(text)
    trace = RequestTrace(context, host, port, named)
    stopped = ""
    for group in STEPS:
        if stopped:
            yield from (row(check.id, skipped(f"not looked at: {stopped} failed"), fix="", which="") for check in group)
            continue
        for one in run(group, trace, seconds=PATIENCE):
            stopped = stopped or (one.id if one.status is Status.ERROR else "")
            yield one
