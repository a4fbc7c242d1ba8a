"""Follows a request, and checks it outside the cluster: name, route, handshake, certificate, trust."""

import ssl
from collections.abc import Iterator

from sandbox.doctor.check import Check, DoctorContext, Finding, Row, error, follow, ok, warn
from sandbox.doctor.network_checks import holder, resolution
from sandbox.doctor.tls import cluster_checks
from sandbox.doctor.tls.tls_context import RequestTrace, parse
from sandbox.engine import Bind, labelled
from sandbox.errors import SandboxError
from sandbox.names import EDGE
from sandbox.system import host_network

RENEW = (
    "sandbox certs renew{which} --authority, then sandbox up{which}; an application with its own certificate has to "
    "add those of its issuers"
)
ANOTHER_ISSUER = "trust its issuer, or let the sandbox issue: certs: {secrets: [...]} in sandbox.yaml"


def name(trace: RequestTrace) -> Finding:
    host = trace.host
    fix = f"sandbox hosts install -n {trace.names.name}; or add the line `{trace.address} {host}` to /etc/hosts"
    return resolution(host, host, fix, localhost_fix=fix)


def route(trace: RequestTrace) -> Finding:
    bind, docker = Bind(trace.address, trace.port), trace.context.docker
    if host_network.is_free(bind.address, bind.port):
        listening = ", ".join(str(Bind(*place)) for place in trace.listen)
        fix = f"sandbox up{trace.which}; the edge listens on {listening} for this sandbox"
        return error(f"no process listens on {bind}", fix)
    engine = None if isinstance(docker, SandboxError) else docker
    owner = holder(bind, engine, trace.context.home)
    if owner != (labelled.edge(engine, trace.context.home) if engine else EDGE):
        others = [str(port) for _, port in trace.listen if port != trace.port]
        fix = f"use another port: {', '.join(others)}" if others else "stop it, then sandbox up{which}"
        return error(f"{bind} is used by {owner}", fix)
    route, newest = trace.route, trace.answering_route
    if newest is None:
        return error("the edge has no routes")
    if route is None:
        return error(
            f"no route names {trace.host}: the page for unknown hosts, of the sandbox {newest.name}, is shown",
            f"use a host under {newest.domain}, or bring up a sandbox with a domain that has this one",
        )
    evidence = f"{bind} is the edge's, which routes it to the sandbox {route.name}"
    if trace.named and route.name != trace.context.spec.name:
        return error(evidence, f"{trace.host} is not under {trace.context.spec.domain}; leave the sandbox's name out")
    return ok(evidence)


def handshake(trace: RequestTrace) -> Finding:
    try:
        return ok(trace.served.negotiated)
    except ssl.SSLError as reason:
        unencrypted = f"have {trace.service} speak TLS itself: edge.tls routes it there unchanged"
        fix = unencrypted if trace.service and "ALERT" not in (reason.reason or "") else ""  # only TLS has alerts
        return error(f"the handshake failed: {reason.reason or reason}", fix)
    except OSError as reason:
        return error(f"the connection was closed: {reason.strerror or reason}")


def certificate(trace: RequestTrace) -> Finding:
    facts = trace.served.certificate
    evidence = f"{', '.join(facts.hosts) or facts.subject}; {facts}; by {facts.issuer}"
    if "TRAEFIK DEFAULT CERT" in facts.subject:
        reason = "the ingress controller has no certificate and generated this one"
        return error(f"{evidence}: {reason}", "sandbox up{which}")
    if facts.days_left < 0:
        return error(f"{evidence}: expired on {facts.not_after:%Y-%m-%d}")
    if trace.context.now < facts.not_before:
        return error(f"{evidence}: valid from {facts.not_before:%Y-%m-%d %H:%M} UTC", "correct the clock")
    if not facts.covers(trace.host):
        secret = f"{trace.host.partition('.')[0]}-tls"
        own = f"certs: {{secrets: [{{secret: {secret}, hosts: [{trace.host}]}}]}} in sandbox.yaml"
        fix = f"{own} and tls: [{{secretName: {secret}}}] in the Ingress, then sandbox up{trace.which}"
        outside = f"for a host outside of {trace.domain}, that Secret is your own, and edge.hosts names the host"
        return error(f"{evidence}: not for {trace.host}", f"{fix}; {outside}")
    return ok(evidence)


def trusted(trace: RequestTrace) -> Finding:
    facts, root = trace.served.certificate, trace.names.root_certificate
    reason = trace.refusal(None)
    if reason is None:
        return ok("programs that use the system's trust store accept it")
    refused = f"programs that use the system's trust store refuse it: {reason}"
    if not facts.is_of_sandbox:
        return warn(refused, ANOTHER_ISSUER)
    broken = trace.refusal(root) if root.exists() else f"there is no {root}"
    return error(f"clients that trust the sandbox's root refuse it: {broken}", RENEW) if broken else warn(refused)


CHECKS = (
    Check("tls.name", "the host's name resolves to this machine", "sandbox hosts install -n NAME", name),
    Check("tls.route", "the edge has the port, and a route for the host", "sandbox up{which}", route),
    Check(
        "tls.handshake",
        "the TLS handshake succeeds",
        "sandbox status{which}; if the node or the ingress is not ready, sandbox up{which}",
        handshake,
    ),
    Check("tls.certificate", "the certificate is valid for the host", "sandbox certs renew{which}", certificate),
    Check("tls.trusted", "this machine's programs accept it", "sandbox certs trust{which}", trusted),
    Check("tls.rule", "an Ingress or HTTPRoute has the host", "kubectl create ingress", cluster_checks.rule),
    Check(
        "tls.endpoints",
        "its Services have ready pods",
        "correct the Service, or ask why a pod is not ready: sandbox doctor pod POD{which}",
        cluster_checks.endpoints,
    ),
    Check("tls.answer", "the application answers", "kubectl logs", cluster_checks.answer),
)


def examine(context: DoctorContext, text: str, *, named: bool) -> Iterator[Row]:
    """Trace a request to `text` (HOST or HOST:PORT); `named`: the user named the sandbox. Raises UsageError."""
    host, port = parse(text)
    yield from follow(CHECKS, RequestTrace(context, host, port, named))
