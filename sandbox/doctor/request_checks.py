"""Follows a request from the host's name to the application's answer, to find the step that fails."""

import json
import ssl
from collections.abc import Iterator, Mapping
from typing import Any

from sandbox.components.ingress import https_probe, page, served_hosts, unserved
from sandbox.doctor.check import Check, DoctorContext, Finding, Row, error, follow, ok, skipped, warn
from sandbox.doctor.network_checks import holder, resolution
from sandbox.doctor.request_trace import RequestTrace, parse
from sandbox.engine import Bind, labelled
from sandbox.errors import SandboxError
from sandbox.kube.api import title
from sandbox.kube.manifests import ingress_hosts
from sandbox.names import EDGE
from sandbox.plan import saved_spec
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


def rule(trace: RequestTrace) -> Finding:
    if trace.server:
        return ok(f"the edge routes it to {trace.server}, outside the cluster")
    if trace.service:
        return ok(f"the edge routes its TLS to the Service {trace.service}")
    kubectl = saved_spec.kubectl(trace.names)
    if not trace.ingresses:
        evidence = f"no Ingress or HTTPRoute has {trace.host}"
        if trace.host == trace.domain:
            return warn(f"{evidence}: it shows the page with the list of hosts", f"{kubectl} create ingress …")
        where = f" -n {trace.namespace}" if trace.namespace else ""
        of = f" --class {trace.ingress_class}" if trace.ingress_class else ""
        fix = f"{kubectl}{where} create ingress NAME{of} --rule '{trace.host}/*=SERVICE:PORT'"
        return error(f"{evidence}; it shows the page for unknown hosts", fix)
    names: list[str] = []
    notes: list[str] = []
    edit = ""
    for ingress in trace.ingresses:
        name, namespace = ingress["metadata"]["name"], ingress["metadata"]["namespace"]
        names.append(title({"kind": "Ingress", **ingress}))
        if _is_route(ingress):
            if refusal := _refusal(ingress):
                fix = f"{kubectl} -n {namespace} describe {ingress['kind'].lower()} {name}"
                return error(f"{names[-1]}: {refusal}", fix)
            continue
        if wrong := _wrong_class(trace, ingress):
            patch = json.dumps({"spec": {"ingressClassName": trace.ingress_class}})
            return error(f"{names[-1]} {wrong}", f"{kubectl} -n {namespace} patch ingress {name} -p '{patch}'")
        absent = unserved.missing_secrets(trace.cluster, ingress)
        notes += [f"the Secret {namespace}/{secret} is missing: the sandbox's own is served" for secret in absent]
        notes += unserved.without_effect(ingress)
        if notes and not edit:
            edit = f"{kubectl} -n {namespace} edit ingress {name}"
    return warn("; ".join((*names, *notes)), edit) if notes else ok("; ".join(names))


def _is_route(ingress: Mapping[str, Any]) -> bool:
    return str(ingress.get("kind", "Ingress")) != "Ingress"  # lists of the API server leave the kind out


def _refusal(route: Mapping[str, Any]) -> str:
    parents = route["status"].get("parents") or ()
    conditions = [condition for parent in parents for condition in parent.get("conditions") or ()]
    if bad := next((condition for condition in conditions if condition.get("status") == "False"), None):
        return f"{bad.get('type')} is False: {bad.get('message', '')}"
    accepted = any(condition.get("type") == "Accepted" for condition in conditions)
    return "" if accepted else "no Gateway has accepted it"


def _wrong_class(trace: RequestTrace, ingress: Mapping[str, Any]) -> str | None:
    own, served = (ingress.get("spec") or {}).get("ingressClassName"), trace.ingress_class
    if served is None:
        return None
    if trace.namespace:  # classes are cluster-wide, and may not be read; the sandbox's own has no object
        return None if own == served else f"has the class {own or 'none'}, and the sandbox serves {served}"
    every = trace.cluster.list("networking.k8s.io/v1", "IngressClass")
    ours = (each["metadata"]["name"] for each in every if each["spec"].get("controller") == served_hosts.SERVED_BY)
    foreign = unserved.foreign_class(ingress, (served, *ours))
    return f"has the class {foreign}, which the sandbox's controller does not serve" if foreign else None


def endpoints(trace: RequestTrace) -> Finding:
    if trace.server:
        return skipped("its server is outside the cluster")
    if trace.service:
        return skipped(f"sandbox doctor service {trace.service.partition(':')[0]} checks them")
    with_host = [ingress for ingress in trace.ingresses if not _is_route(ingress) and any(ingress_hosts(ingress))]
    if not with_host:
        return skipped("only Services of Ingresses that name the host are checked")
    wrong = next(unserved.service_faults(trace.cluster, with_host, trace.patterns), None)
    return error(wrong) if wrong else ok("every Service has a ready pod")


def answer(trace: RequestTrace) -> Finding:
    if trace.service:
        return skipped("what it speaks after TLS is not known")
    response = https_probe.ask(trace.host, address=trace.address, port=trace.port, root=None)
    logs = f"{saved_spec.kubectl(trace.names)} -n NAMESPACE logs POD"
    status = f"HTTP {response.status}"
    if response.status is None:
        return error(response.trouble, logs)
    if response.status == 0:
        return ok("the server runs, and requires more of a client, perhaps a certificate")
    if response.status in https_probe.UNSERVED and trace.server:
        fix = "start it, and let it listen on 0.0.0.0: sandbox edge status shows how the edge reaches it"
        return error(f"{status}: the edge does not reach {trace.server}", fix)
    if response.status in https_probe.UNSERVED:
        return error(f"{status}: the ingress controller does not reach the application", logs)
    if page.is_default(response.page) and trace.host != trace.domain:
        return error(f"{status}, the page for unknown hosts", "sandbox status{which}; then sandbox up{which}")
    return ok(status)


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
    Check("tls.rule", "an Ingress or HTTPRoute has the host", "kubectl create ingress", rule),
    Check(
        "tls.endpoints",
        "its Services have ready pods",
        "correct the Service, or ask why a pod is not ready: sandbox doctor pod POD{which}",
        endpoints,
    ),
    Check("tls.answer", "the application answers", "kubectl logs", answer),
)


def examine(context: DoctorContext, text: str, *, named: bool) -> Iterator[Row]:
    """Trace a request to `text` (HOST or HOST:PORT); `named`: the user named the sandbox. Raises UsageError."""
    host, port = parse(text)
    yield from follow(CHECKS, RequestTrace(context, host, port, named))
