"""Checks of a request inside the cluster: the rule for its host, ready pods, the application's answer."""

import json
from collections.abc import Mapping
from typing import Any

from sandbox.components.ingress import https_probe, page, served_hosts, unserved
from sandbox.doctor.check import Finding, error, ok, skipped, warn
from sandbox.doctor.tls.tls_context import RequestTrace
from sandbox.kube.api import title
from sandbox.kube.manifests import ingress_hosts
from sandbox.plan import saved_spec


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
