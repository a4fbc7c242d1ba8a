"""Checks of a request inside the cluster: the rule for its host, ready pods, the application's answer."""

from __future__ import annotations

import json

from sandbox.components.ingress import backends, controller, https_probe, nginx_annotations, page, unserved
from sandbox.doctor.check import Finding, error, ok, skipped, warn
from sandbox.doctor.tls.tls_context import INGRESS, RequestTrace, Rule
from sandbox.plan import saved_spec


def rule(trace: RequestTrace) -> Finding:
    if trace.server:
        return ok(f"the edge routes it to {trace.server}, outside the cluster")
    if trace.service:
        return ok(f"the edge routes its TLS to the Service {trace.service}")
    kubectl = saved_spec.kubectl(trace.names)
    if not trace.rules:
        evidence = f"no Ingress or HTTPRoute has {trace.host}"
        if trace.host == trace.domain:
            return warn(f"{evidence}: it shows the page with the list of hosts", f"{kubectl} create ingress …")
        where = f" -n {trace.namespace}" if trace.namespace else ""
        of = f" --class {trace.ingress_class}" if trace.ingress_class else ""
        fix = f"{kubectl}{where} create ingress NAME{of} --rule '{trace.host}/*=SERVICE:PORT'"
        return error(f"{evidence}; it shows the page for unknown hosts", fix)
    for rule in trace.rules:
        of_namespace = f"{kubectl} -n {rule.namespace}"
        if rule.trouble:
            fix = f"{of_namespace} describe {rule.kind.lower()} {rule.name}"
            return error(f"{rule}: {rule.trouble}", fix)
        if wrong := _wrong_class(trace, rule):
            patch = json.dumps({"spec": {"ingressClassName": trace.ingress_class}})
            return error(f"{rule}: {wrong}", f"{of_namespace} patch ingress {rule.name} -p '{patch}'")
    rules = "; ".join(map(_described, trace.rules))
    if notes := [note for rule in trace.rules if rule.kind == "Ingress" for note in _notes(trace, rule)]:
        first = trace.rules[0]
        return warn("; ".join((rules, *notes)), f"{kubectl} -n {first.namespace} edit ingress {first.name}")
    return ok(rules)


def _wrong_class(trace: RequestTrace, rule: Rule) -> str | None:
    if trace.ingress_class is None or rule.kind != "Ingress":
        return None
    name = rule.class_name
    if trace.namespace:  # classes are cluster-wide, and may not be read; the sandbox's own has no object
        of = f"is of the class {name}" if name else "has no class"
        return None if name == trace.ingress_class else f"it {of}, the sandbox serves {trace.ingress_class}"
    if name is None:
        return None
    ingress_class = trace.cluster.get("networking.k8s.io/v1", "IngressClass", name)
    if ingress_class is None:
        return f"there is no class {name}"
    owner = ingress_class["spec"].get("controller")
    return None if owner == controller.SERVED_BY else f"its class {name} belongs to another controller, {owner}"


def _described(rule: Rule) -> str:
    services = ", ".join(f"{backend.service}:{backend.port}" for backend in rule.backends)
    return f"{rule} to {services or 'nothing'}"


def _notes(trace: RequestTrace, rule: Rule) -> list[str]:
    ingress = trace.cluster.get(*INGRESS, rule.name, rule.namespace)
    if ingress is None:
        return []
    absent = unserved.missing_secrets(trace.cluster, ingress)
    notes = [f"the Secret {rule.namespace}/{name} is not there: the sandbox's certificate is served" for name in absent]
    return [*notes, *nginx_annotations.without_effect(ingress)]


def endpoints(trace: RequestTrace) -> Finding:
    if trace.server:
        return skipped("its server is outside the cluster")
    if trace.service:
        return skipped(f"sandbox doctor service {trace.service.partition(':')[0]} checks them")
    counts, kubectl = [], saved_spec.kubectl(trace.names)
    for rule in trace.rules:
        for backend in rule.backends:
            namespace = backend.namespace or rule.namespace
            if fault := backends.fault(trace.cluster, namespace, backend.service, backend.port):
                edit = f"{kubectl} -n {rule.namespace} edit {rule.kind.lower()} {rule.name}"
                fix = f"{kubectl} -n {namespace} {fault.remedy.format(rule=rule)}" if fault.remedy else edit
                return error(fault.what, fix)
            ready = backends.ready(trace.cluster, namespace, backend.service)
            counts.append(f"{namespace}/{backend.service} {len(ready)} ready")
    return ok(", ".join(counts)) if counts else warn("the rule has no Service", "add a backend to it")


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
