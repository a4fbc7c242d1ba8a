"""Checks of a request outside the cluster: name, port, route, handshake, certificate, chain."""

from __future__ import annotations

import base64
import contextlib
import socket
import ssl
from ipaddress import ip_address

from sandbox.components.certificates import subject_names
from sandbox.components.certificates.facts import describe
from sandbox.components.certificates.keystore import Keystore, inventory
from sandbox.doctor.check import Finding, error, ok, warn
from sandbox.doctor.doctor_context import EngineProbe
from sandbox.doctor.network_checks import holder, is_here, resolved
from sandbox.doctor.tls.tls_context import RequestTrace, read
from sandbox.engine import Bind, labelled
from sandbox.errors import SandboxError
from sandbox.kube.api import ClusterError
from sandbox.names import DEFAULT_TLS, DOMAIN_TLS, EDGE, SYSTEM_NAMESPACE
from sandbox.system import host_network

# The subject of Traefik's own certificate, which it uses when it has no other.
MADE_UP = "TRAEFIK DEFAULT CERT"
OWN = {"default": "the sandbox's default certificate", "domain": "the sandbox's certificate for its domain"}
CHAIN = "serve the certificate followed by those of its issuers, in order"


def name(trace: RequestTrace) -> Finding:
    host = trace.host
    installed = f"sandbox hosts install -n {trace.names.name}"
    fix = installed if _is_installed(trace) else f"sudo sh -c 'echo {trace.address} {host} >> /etc/hosts'"
    if "." not in host and host != "localhost":  # the first part of a host's name, or a Service's
        fix = f"use the whole name of a host, such as {host}.{trace.domain}"
    try:
        found = resolved(host)
    except socket.gaierror as reason:
        if host.endswith(".localhost"):
            return warn(f"{host}: {reason.strerror}; browsers and curl resolve .localhost by themselves", fix)
        return error(f"{host}: {reason.strerror}", fix)
    elsewhere = [address for address in found if not is_here(address)]
    if elsewhere:
        return error(f"{host} is {', '.join(found)}; {', '.join(elsewhere)} is not this machine", fix)
    kind = "loopback" if all(ip_address(one.partition("%")[0]).is_loopback for one in found) else "this machine"
    return ok(f"{host} is {', '.join(found)} ({kind})")


def _is_installed(trace: RequestTrace) -> bool:
    if trace.match is None or trace.match.by == "default":
        return False
    with contextlib.suppress(SandboxError):
        return trace.host in trace.match.route.named or any(rule.host == trace.host for rule in trace.rules)
    return False


def port(trace: RequestTrace) -> Finding:
    bind, docker = Bind(trace.address, trace.port), trace.context.docker
    if host_network.is_free(bind.address, bind.port):
        listening = ", ".join(str(Bind(*one)) for one in trace.listen)
        return error(
            f"no process listens on {bind}",
            f"sandbox up{trace.which}; the edge listens on {listening} for this sandbox",
        )
    engine, home = docker.engine if isinstance(docker, EngineProbe) else None, trace.context.home
    who = holder(bind, engine, home)
    edge = labelled.edge(engine, home) if engine else EDGE  # another user's may have the usual name
    if who == edge:
        return ok(f"{bind} is the edge's")
    known = [number for _, number in trace.listen if number != trace.port]
    fix = f"use another port: {', '.join(map(str, known))}" if known else "stop it, then sandbox up{which}"
    return error(f"{bind} is used by {who}", fix)


def route(trace: RequestTrace) -> Finding:
    match = trace.match
    if match is None:
        return error("the edge has no routes")
    evidence = f"sandbox {match.route.name} by its {match.by} route for {match.name}"
    if match.by == "default":
        return error(
            f"no route names {trace.host}: {evidence}, with its page for unknown hosts",
            f"use a host under {match.route.domain}, or bring up a sandbox with a domain that has this one",
        )
    if trace.named and match.route.name != trace.context.spec.name:
        return error(evidence, f"{trace.host} is not under {trace.context.spec.domain}; leave the sandbox's name out")
    return ok(evidence)


def handshake(trace: RequestTrace) -> Finding:
    try:
        served = trace.served
    except ssl.SSLError as reason:
        plain = trace.service and "ALERT" not in (reason.reason or "")  # only a server of TLS sends one
        checks = f"sandbox doctor service {trace.service.partition(':')[0]} checks its pods"
        fix = f"have {trace.service} speak TLS itself: edge.tls routes it there unchanged; {checks}" if plain else ""
        return error(f"the handshake failed: {reason.reason or reason}", fix)
    except OSError as reason:
        return error(f"the connection was closed: {reason.strerror or reason}")
    return ok(f"{served.version}, {served.cipher}, {served.protocol}")


def certificate(trace: RequestTrace) -> Finding:
    facts = trace.served.facts(now=trace.context.now)[0]
    why = origin(trace)
    evidence = f"{why or 'third party'}: {', '.join(facts.hosts) or facts.subject}; {facts}"
    if MADE_UP in facts.subject:
        return error(
            f"{evidence}: the ingress controller has no certificate and generated this one", "sandbox up{which}"
        )
    if facts.days_left < 0:
        return error(f"{evidence}: expired on {facts.not_after:%Y-%m-%d}")
    if trace.context.now < facts.not_before:
        return error(f"{evidence}: valid from {facts.not_before:%Y-%m-%d %H:%M} UTC", "correct the clock")
    if not facts.covers(trace.host):
        return error(f"{evidence}: not for {trace.host}", _own_certificate(trace))
    if why is None and not trace.is_ours:
        return error(f"{evidence}: it does not come from the sandbox {trace.names.name}")
    return ok(evidence)


def chain(trace: RequestTrace) -> Finding:
    links = trace.served.facts(now=trace.context.now)
    titles = [links[0].hosts[0] if links[0].hosts else "the server", *(one.subject for one in links[1:])]
    evidence = " ← ".join(titles)
    if not trace.root:
        return error(f"{evidence}; the sandbox has no root in {trace.names.root_certificate}", "sandbox up{which}")
    reading = read(trace.served, trace.root)
    if reading.broken:
        return error(f"{evidence}: {reading.broken}", CHAIN)
    if not reading.rooted:
        if links[-1].issuer == _issuing(trace):
            return error(f"{evidence}: the server does not send its issuer's certificate", CHAIN)
        mine = f"{evidence} ← {links[-1].issuer}, which is not the sandbox's root"
        if origin(trace) is None:
            return error(mine)
        return warn(mine, "trust that issuer, or let the sandbox issue: certs: {secrets: [...]} in sandbox.yaml")
    if reading.outside:
        return error(f"{evidence}: {reading.outside}", "sandbox certs renew{which} --authority")
    permitted = next((one.permitted for one in links if one.permitted), ())
    return ok(f"{evidence} ← the sandbox's root; limited to {', '.join(permitted) or 'nothing'}")


def origin(trace: RequestTrace) -> str | None:
    """Return where the served certificate comes from, by the user's files and the cluster; None if unknown."""
    known = _known(trace, trace.served.facts(now=trace.context.now)[0].sha256)
    passing = None
    # If the cluster does not answer, its own check tells.
    with contextlib.suppress(ClusterError):
        passing = next((rule for rule in trace.rules if rule.passthrough), None)
    if passing:
        return f"{known or 'its own'}, from the application, because {passing} passes TLS through"
    return known


def _known(trace: RequestTrace, served: str) -> str | None:
    for one in inventory(Keystore(trace.names.keys), now=trace.context.now):
        if one.facts and one.facts.sha256 == served:
            return OWN.get(one.name, f"the sandbox's leaf {one.name}")
    with contextlib.suppress(ClusterError):
        for namespace, secret in [*((SYSTEM_NAMESPACE, one) for one in (DEFAULT_TLS, DOMAIN_TLS)), *_secrets(trace)]:
            if _fingerprint(trace, namespace, secret) == served:
                return f"the Secret {namespace}/{secret}"
    return None


def _own_certificate(trace: RequestTrace) -> str:
    host, found = trace.host, None
    with contextlib.suppress(ClusterError):
        found = next((rule for rule in trace.rules if rule.kind == "Ingress"), None)
    secret = (found.secret if found else None) or f"{host.partition('.')[0]}-tls"
    if not subject_names.is_inside(host, (trace.domain,)):
        return (
            f"use a certificate of your own, as a Secret that the Ingress names in tls.secretName; or in sandbox.yaml: "
            f"edge: {{hosts: [{{host: {host}, terminate: true}}]}}, then sandbox up{trace.which}"
        )
    namespace = f"namespace: {found.namespace}, " if found else ""
    key = f"certs: {{secrets: [{{secret: {secret}, {namespace}hosts: [{host}]}}]}}"
    named = f"; and in {found}: tls: [{{hosts: [{host}], secretName: {secret}}}]"
    also = named if found and not found.passthrough else ""
    return f"add a certificate to sandbox.yaml: {key}{also}; then sandbox up{trace.which}"


def _issuing(trace: RequestTrace) -> str | None:
    files = Keystore(trace.names.keys).issuing
    return describe(files.read().cert_pem, now=trace.context.now).subject if files.has_cert else None


def _secrets(trace: RequestTrace) -> list[tuple[str, str]]:
    return [(rule.namespace, rule.secret) for rule in trace.rules if rule.secret]


def _fingerprint(trace: RequestTrace, namespace: str, name: str) -> str | None:
    found = trace.cluster.get("v1", "Secret", name, namespace)
    text = ((found or {}).get("data") or {}).get("tls.crt") or ""
    try:
        return describe(base64.b64decode(text), now=trace.context.now).sha256
    except SandboxError:
        return None
