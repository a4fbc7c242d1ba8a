"""Checks of a request outside the cluster: name, route, handshake, certificate, chain, trust."""

from __future__ import annotations

import contextlib
import socket
import ssl
from ipaddress import ip_address

from sandbox.components.certificates import subject_names
from sandbox.components.certificates.facts import describe
from sandbox.components.certificates.keystore import Keystore, inventory
from sandbox.doctor.check import Finding, error, ok, warn
from sandbox.doctor.network_checks import holder, is_here, resolved
from sandbox.doctor.tls.tls_context import RequestTrace
from sandbox.engine import Bind, labelled
from sandbox.errors import SandboxError
from sandbox.kube.api import ClusterError
from sandbox.names import EDGE
from sandbox.system import host_network

OWN = {"default": "the sandbox's default certificate", "domain": "the sandbox's certificate for its domain"}
CHAIN = "serve the certificate followed by those of its issuers, in order"
ANOTHER_ISSUER = "trust its issuer, or let the sandbox issue: certs: {secrets: [...]} in sandbox.yaml"


def name(trace: RequestTrace) -> Finding:
    host = trace.host
    line = f"sudo sh -c 'echo {trace.address} {host} >> /etc/hosts'"
    fix = f"sandbox hosts install -n {trace.names.name}, for every host with an Ingress; or {line}"
    if "." not in host and host != "localhost":  # the first part of a host's name, or a Service's
        fix = f"use the whole name of a host, such as {host}.{trace.domain}"
    try:
        addresses = resolved(host)
    except socket.gaierror as reason:
        if host.endswith(".localhost"):
            return warn(f"{host}: {reason.strerror}; browsers and curl resolve .localhost by themselves", fix)
        return error(f"{host}: {reason.strerror}", fix)
    if elsewhere := [address for address in addresses if not is_here(address)]:
        return error(f"{host} is {', '.join(addresses)}; {', '.join(elsewhere)} is not this machine", fix)
    loopback = all(ip_address(address.partition("%")[0]).is_loopback for address in addresses)
    return ok(f"{host} is {', '.join(addresses)} ({'loopback' if loopback else 'this machine'})")


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
        plain = trace.service and "ALERT" not in (reason.reason or "")  # only a server of TLS sends one
        checks = f"sandbox doctor service {trace.service.partition(':')[0]} checks its pods"
        fix = f"have {trace.service} speak TLS itself: edge.tls routes it there unchanged; {checks}" if plain else ""
        return error(f"the handshake failed: {reason.reason or reason}", fix)
    except OSError as reason:
        return error(f"the connection was closed: {reason.strerror or reason}")


def certificate(trace: RequestTrace) -> Finding:
    facts = trace.served.certificate
    evidence = f"{_source(trace)}: {', '.join(facts.hosts) or facts.subject}; {facts}"
    if "TRAEFIK DEFAULT CERT" in facts.subject:
        reason = "the ingress controller has no certificate and generated this one"
        return error(f"{evidence}: {reason}", "sandbox up{which}")
    if facts.days_left < 0:
        return error(f"{evidence}: expired on {facts.not_after:%Y-%m-%d}")
    if trace.context.now < facts.not_before:
        return error(f"{evidence}: valid from {facts.not_before:%Y-%m-%d %H:%M} UTC", "correct the clock")
    if not facts.covers(trace.host):
        return error(f"{evidence}: not for {trace.host}", _own_certificate(trace))
    return ok(evidence)


def _source(trace: RequestTrace) -> str:
    facts = trace.served.certificate
    entries = inventory(Keystore(trace.names.keys), now=trace.context.now)
    leaves = (entry.name for entry in entries if entry.facts and entry.facts.sha256 == facts.sha256)
    own = next((OWN.get(leaf, f"the sandbox's leaf {leaf}") for leaf in leaves), "")
    with contextlib.suppress(ClusterError):  # another check says so
        for rule in trace.rules:
            if rule.passthrough:
                return f"{own or 'its own'}, from the application, because {rule} passes TLS through"
            if rule.secret and not own:
                return f"the Secret {rule.namespace}/{rule.secret}"
    return own or f"issued by {facts.issuer}"


def _own_certificate(trace: RequestTrace) -> str:
    host = trace.host
    if not subject_names.is_inside(host, (trace.domain,)):
        return (
            f"use a certificate of your own, as a Secret that the Ingress names in tls.secretName; or in sandbox.yaml: "
            f"edge: {{hosts: [{{host: {host}, terminate: true}}]}}, then sandbox up{trace.which}"
        )
    secret = f"{host.partition('.')[0]}-tls"
    key = f"certs: {{secrets: [{{secret: {secret}, hosts: [{host}]}}]}}"
    return (
        f"add {key} to sandbox.yaml, and tls: [{{secretName: {secret}}}] to the Ingress; then sandbox up{trace.which}"
    )


def chain(trace: RequestTrace) -> Finding:
    root = trace.names.root_certificate
    if not root.exists():
        return error(f"the sandbox has no root in {root}", "sandbox up{which}")
    facts, reason = trace.served.certificate, trace.refusal(root)
    if reason is None:
        permitted = describe(root.read_bytes(), now=trace.context.now).permitted
        return ok(f"{facts.issuer} ← the sandbox's root; limited to {', '.join(permitted) or 'nothing'}")
    if not facts.is_of_sandbox:
        return ok(f"{facts.issuer}, which is not the sandbox's root")
    files = Keystore(trace.names.keys).issuing
    present = describe(files.read().cert_pem, now=trace.context.now).subject if files.has_cert else ""
    if facts.issuer == present:
        return error(f"clients that trust the sandbox's root refuse it: {reason}", CHAIN if "issuer" in reason else "")
    return error(f"{facts.issuer} is not the sandbox's present CA: {reason}", "sandbox up{which}")


def trusted(trace: RequestTrace) -> Finding:
    reason = trace.refusal(None)
    if reason is None:
        return ok("programs that use the system's trust store accept it")
    fix = "" if trace.served.certificate.is_of_sandbox else ANOTHER_ISSUER
    return warn(f"programs that use the system's trust store refuse it: {reason}", fix)
