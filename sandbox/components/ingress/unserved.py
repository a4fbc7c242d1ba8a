"""Explains why an Ingress, or a part of it, is not served: by its class, host, annotation or Service."""

import functools
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sandbox.components.ingress import deep_hosts
from sandbox.components.ingress.served_hosts import CLASS, Ingress, has_own_certificate, hosts_of
from sandbox.config import yaml_text
from sandbox.config.schema import Spec
from sandbox.errors import SandboxError, UsageError
from sandbox.kube.api import Cluster, title
from sandbox.kube.manifests import INGRESS_CLASS, ingress_hosts, label_selector
from sandbox.kube.workload_status import endpoint_slices, is_serving
from sandbox.names import is_below
from sandbox.system import files

PREFIX = "nginx.ingress.kubernetes.io"
SNIPPETS = ("configuration-snippet", "server-snippet", "auth-snippet")
# The directive's name at the start of each: after a semicolon, a brace or the beginning.
_DIRECTIVE = re.compile(r"(?:^|[;{}])\s*([a-z_]+)(?=[\s;{])")
# Quoted texts, in which semicolons and braces mean nothing, and comments.
_QUOTED = re.compile(r'"(?:\\.|[^"\\])*"|\'(?:\\.|[^\'\\])*\'|#[^\n]*')


def class_fault(cluster: Cluster, ingresses: Sequence[Ingress], domain: str) -> SandboxError | None:
    """Return the error for an Ingress of the domain, or of every host, that nothing in the cluster serves, or None."""
    classes = [item["metadata"]["name"] for item in cluster.list("networking.k8s.io/v1", "IngressClass")]
    served = set(hosts_of([ingress for ingress in ingresses if not foreign_class(ingress, classes)]))
    for ingress in ingresses:
        name = foreign_class(ingress, classes)
        hosts = tuple(ingress_hosts(ingress)) or (domain,)  # an Ingress without hosts applies to all hosts
        if name and any(is_below(host, domain) for host in hosts) and not served.intersection(hosts_of([ingress])):
            return SandboxError(
                f"{title({'kind': 'Ingress', **ingress})} has the class '{name}', which no controller here serves",
                fix=_class_advice(name),
                id="ingress-class",
            )
    return None


def require_hosts(manifests: Iterable[Mapping[str, Any]], tls: Mapping[str, str]) -> None:
    """Raise UsageError for an Ingress with a host whose TLS the edge routes to a Service; `tls` is host to Service."""
    for manifest in manifests:
        both = tls.keys() & hosts_of([manifest]) if manifest["kind"] == "Ingress" else ()
        if both:
            host = min(both)
            raise UsageError(
                f"{host} is a host of {title(manifest)} and of `edge.tls`",
                details=f"the edge would route all of its TLS to {tls[host]}; nothing was changed",
                fix="give one of the two another host",
                id="domain-taken",
            )


def foreign_class(ingress: Ingress, classes: Collection[str]) -> str | None:
    """Return the class of an Ingress if it is none of `classes`; the old annotation can only be `nginx`."""
    name = (ingress.get("spec") or {}).get("ingressClassName")
    old = (ingress["metadata"].get("annotations") or {}).get(INGRESS_CLASS)
    if name:
        return None if name in classes else str(name)
    return None if old in (None, CLASS) else str(old)


def _class_advice(name: str) -> str:
    return (
        f"write `ingressClassName: {CLASS}`; or `ingressClassName: {name}`, and in sandbox.yaml "
        f"`ingress: {{classes: [{name}]}}`, which has it served here"
    )


def notes(spec: Spec, ingresses: Sequence[Ingress], classes: Collection[str] | None = None) -> Iterator[str]:
    """Yield warnings about the sandbox's Ingresses, a line each, with the object.

    `classes` are the classes that controllers serve. Without them no class is tested: the HTTPS check does that.
    """
    if spec.ingress.controller != "traefik":
        return
    domain, routed_here = spec.domain, {host.host for host in spec.edge.hosts} | routed(spec).keys()
    for ingress in ingresses:
        certified = set(deep_hosts.certifiable(ingress, domain)) if deep_hosts.are_certified(spec) else set()
        name = title({"kind": "Ingress", **ingress})
        foreign = foreign_class(ingress, classes) if classes is not None else None
        if foreign:
            yield f"{name} has the class '{foreign}', which no controller here serves: {_class_advice(foreign)}"
        for host in sorted(set(ingress_hosts(ingress))):
            if host in routed_here:
                continue
            if not is_below(host, domain):
                own = f"{host.partition('.')[0]}.{domain}"
                yield (
                    f"{name}: {host} is not below {domain}, so the edge does not route it here: use {own}, or "
                    f"`edge: {{hosts: [{host}]}}` with a certificate of your own in tls.secretName"
                )
            elif deep_hosts.is_deep(host, domain) and host not in certified and not has_own_certificate(ingress):
                yield (
                    f"{name}: the certificate of {domain} is for one label below it, so clients refuse {host}: name a "
                    f"Secret for it in tls.secretName, which `certs: {{secrets: [...]}}` makes"
                )
        yield from (f"{name}: {effect}" for effect in without_effect(ingress))


def hosts_here(spec: Spec, ingresses: Sequence[Ingress]) -> tuple[str, ...]:
    """Return the hosts of the Ingresses that the edge routes here; all hosts where another controller serves them."""
    named = {*(host.host for host in spec.edge.hosts), *routed(spec)}
    hosts = hosts_of(ingresses)
    if spec.ingress.controller != "traefik":
        return hosts
    return tuple(host for host in hosts if host in named or is_below(host, spec.domain))


def routed(spec: Spec) -> Mapping[str, str]:
    return {host.host: host.to for host in spec.edge.tls}


def missing_secrets(cluster: Cluster, ingress: Ingress) -> list[str]:
    """Return the TLS Secrets that the Ingress names and the cluster lacks: its hosts get the default certificate."""
    namespace = ingress["metadata"]["namespace"]
    named = (entry.get("secretName") for entry in (ingress.get("spec") or {}).get("tls") or ())
    return [str(name) for name in dict.fromkeys(named) if name and not cluster.get("v1", "Secret", name, namespace)]


def service_faults(cluster: Cluster, ingresses: Iterable[Mapping[str, Any]], hosts: Collection[str]) -> Iterator[str]:
    """Yield what is wrong with the Services of Ingresses for `hosts`, a line each. Raises ClusterError."""
    for ingress in ingresses:
        name, namespace = title({"kind": "Ingress", **ingress}), ingress["metadata"]["namespace"]
        rules = (rule for rule in (ingress.get("spec") or {}).get("rules") or () if rule.get("host") in hosts)
        paths = (path for rule in rules for path in (rule.get("http") or {}).get("paths") or ())
        backends = set()
        for service in (path["backend"].get("service") for path in paths):
            if service:
                port = service.get("port") or {}
                backends.add((service["name"], port.get("number") or port.get("name")))
        for service, port in sorted(backends, key=str):
            if wrong := service_fault(cluster, namespace, service, port):
                yield f"{name}: {wrong}"


def service_fault(cluster: Cluster, namespace: str, name: str, port: int | str | None) -> str | None:
    """Return what is wrong with a Service or, if `port` is given, with its port; None if it has a ready pod."""
    place, service = f"{namespace}/{name}", cluster.get("v1", "Service", name, namespace)
    if service is None:
        return f"there is no Service {place}"
    spec = service.get("spec") or {}
    ports = [value for port in spec.get("ports") or () for value in (port.get("port"), port.get("name")) if value]
    if port is not None and port not in ports:
        return f"Service {place} has no port {port}, only {', '.join(map(str, ports))}"
    ends = (end for part in endpoint_slices(cluster, namespace, name) for end in part.get("endpoints") or ())
    if spec.get("type") == "ExternalName" or any(is_serving(end) and end.get("addresses") for end in ends):
        return None
    selector = label_selector(spec.get("selector"))
    if not selector:
        return f"Service {place} has no ready addresses"
    pods = cluster.list("v1", "Pod", namespace, selector=selector)
    states = []
    for pod in pods:
        status = pod.get("status") or {}
        waiting = [(each.get("state") or {}).get("waiting") or {} for each in status.get("containerStatuses") or ()]
        reason = next((each["reason"] for each in waiting if each.get("reason")), None)
        states.append(f"{pod['metadata']['name']} {reason or status.get('phase', 'Unknown')}")
    state = ", ".join(states) or f"no pod has the labels {selector}"
    return f"no ready pod behind Service {place}: {state}"


@dataclass(frozen=True, kw_only=True)
class Known:
    """The annotations that the controller knows; it silently ignores others. Names are without the prefix."""

    works: Mapping[str, str]
    ignored: Mapping[str, str]
    directives: Sequence[str]
    others: Mapping[str, str]


@functools.cache
def known() -> Known:
    return Known(**yaml_text.document(files.packaged(__package__, "annotations.yaml")))


def without_effect(ingress: Mapping[str, Any]) -> Iterator[str]:
    """Yield a sentence for each annotation of an Ingress that has no effect, or another than intended."""
    annotations = ingress["metadata"].get("annotations") or {}
    for full, value in annotations.items():
        prefix, _, name = str(full).partition("/")
        if prefix in known().others:
            yield f"{full} has no effect: it is for {known().others[prefix]}"
        if prefix != PREFIX:
            continue
        if name in known().ignored:
            instead = known().ignored[name]
            yield f"{name} has no effect" + (f": {instead}" if instead else "")
        elif name not in known().works:
            yield f"{name} has no effect: it is not known"
        elif name in SNIPPETS:
            directives = dict.fromkeys(_DIRECTIVE.findall(_QUOTED.sub('""', str(value))))
            unknown = [directive for directive in directives if directive not in known().directives]
            if unknown:
                yield f"{name}: the directive {', '.join(unknown)} is not supported, so that the host is not served"
