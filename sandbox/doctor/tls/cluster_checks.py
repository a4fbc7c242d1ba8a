"""Checks of a request inside the cluster: the rule for its host, ready pods, the application's answer."""

from __future__ import annotations

import json

from sandbox.components.ingress import backends, controller, https_probe, nginx_annotations, page, unserved
from sandbox.doctor.check import Finding, error, ok, skipped, warn
from sandbox.doctor.tls.cluster_rules import INGRESS, Backend, Rule
from sandbox.doctor.tls.tls_context import RequestTrace
from sandbox.kube.api import Cluster
from sandbox.plan import providers


def rule(trace: RequestTrace) -> Finding:
    if trace.server:
        return ok(f"the edge routes it to {trace.server}, outside the cluster")
    if trace.service:
        return ok(f"the edge routes its TLS to the Service {trace.service}")
    found = trace.rules
    kubectl = providers.kubectl(trace.names)
    if not found:
        evidence = f"no Ingress or HTTPRoute has {trace.host}"
        if trace.host == trace.domain:
            return warn(f"{evidence}: it shows the page with the list of hosts", f"{kubectl} create ingress …")
        where = f" -n {trace.namespace}" if trace.namespace else ""
        of = f" --class {trace.ingress_class}" if trace.ingress_class else ""
        fix = f"{kubectl}{where} create ingress NAME{of} --rule '{trace.host}/*=SERVICE:PORT'"
        return error(f"{evidence}; it shows the page for unknown hosts", fix)
    refused = next((one for one in found if one.trouble), None)
    if refused:
        return error(
            f"{refused}: {refused.trouble}",
            f"{kubectl} -n {refused.namespace} describe {refused.kind.lower()} {refused.name}",
        )
    for one in found:
        if wrong := _wrong_class(trace, one):
            patch = json.dumps({"spec": {"ingressClassName": trace.ingress_class}})
            return error(f"{one}: {wrong}", f"{kubectl} -n {one.namespace} patch ingress {one.name} -p '{patch}'")
    noted = [said for one in found if one.kind == "Ingress" for said in _notes(trace.cluster, one)]
    words = "; ".join(map(_words, found))
    if noted:
        return warn("; ".join((words, *noted)), f"{kubectl} -n {found[0].namespace} edit ingress {found[0].name}")
    return ok(words)


def endpoints(trace: RequestTrace) -> Finding:
    if trace.server:
        return skipped("its server is outside the cluster")
    if trace.service:
        return skipped(f"sandbox doctor service {trace.service.partition(':')[0]} checks them")
    counted = []
    for one in trace.rules:
        for backend in one.backends:
            trouble = _trouble(trace, one, backend)
            if trouble:
                return trouble
            namespace = backend.namespace or one.namespace
            ready = backends.ready(trace.cluster, namespace, backend.service)
            counted.append(f"{namespace}/{backend.service} {len(ready)} ready")
    return ok(", ".join(counted)) if counted else warn("the rule has no Service", "add a backend to it")


def answer(trace: RequestTrace) -> Finding:
    if trace.service:
        return skipped("what it speaks after TLS is not known")
    found = https_probe.ask(trace.host, address=trace.address, port=trace.port, root=None)
    logs = f"{providers.kubectl(trace.names)} -n NAMESPACE logs POD"
    if found.status is None:
        return error(found.trouble, logs)
    if found.status == 0:
        return ok("the server runs, and requires more of a client, perhaps a certificate")
    if found.status in https_probe.UNSERVED and trace.server:
        fix = "start it, and let it listen on 0.0.0.0: sandbox edge status shows how the edge reaches it"
        return error(f"HTTP {found.status}: the edge does not reach {trace.server}", fix)
    if found.status in https_probe.UNSERVED:
        return error(f"HTTP {found.status}: the ingress controller does not reach the application", logs)
    if page.is_default(found.page):
        evidence = f"HTTP {found.status}, the page for unknown hosts"
        return (
            ok(evidence)
            if trace.host == trace.domain
            else error(evidence, "sandbox status{which}; then sandbox up{which}")
        )
    return ok(f"HTTP {found.status}")


def _notes(cluster: Cluster, one: Rule) -> list[str]:
    found = cluster.get(*INGRESS, one.name, one.namespace)
    if found is None:
        return []
    absent = unserved.missing_secrets(cluster, found)
    said = [f"the Secret {one.namespace}/{name} is not there: the sandbox's certificate is served" for name in absent]
    return [*said, *nginx_annotations.without_effect(found)]


def _words(one: Rule) -> str:
    services = ", ".join(f"{each.service}:{each.port}" for each in one.backends)
    tls = "TLS passed through" if one.passthrough else f"Secret {one.secret}" if one.secret else "default certificate"
    return f"{one} ({one.class_name or 'default class'}, {tls}) to {services or 'nothing'}"


def _wrong_class(trace: RequestTrace, one: Rule) -> str | None:
    if trace.ingress_class is None or one.kind != "Ingress":
        return None
    if trace.namespace:  # classes are cluster-wide, and may not be read; the sandbox's own has no object
        of = f"is of the class {one.class_name}" if one.class_name else "has no class"
        return None if one.class_name == trace.ingress_class else f"it {of}, the sandbox serves {trace.ingress_class}"
    if one.class_name is None:
        return None
    found = trace.cluster.get("networking.k8s.io/v1", "IngressClass", one.class_name)
    if found is None:
        return f"there is no class {one.class_name}"
    owner = found["spec"].get("controller")
    return (
        None if owner == controller.SERVED_BY else f"its class {one.class_name} belongs to another controller, {owner}"
    )


def _trouble(trace: RequestTrace, one: Rule, backend: Backend) -> Finding | None:
    namespace, kubectl = backend.namespace or one.namespace, providers.kubectl(trace.names)
    found = backends.fault(trace.cluster, namespace, backend.service, backend.port)
    if found is None:
        return None
    if not found.remedy:
        return error(found.what, f"{kubectl} -n {one.namespace} edit {one.kind.lower()} {one.name}")
    return error(found.what, f"{kubectl} -n {namespace} {found.remedy.format(rule=one)}")
