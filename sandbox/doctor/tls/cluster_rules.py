"""The rules of a cluster for a host: the Ingress or HTTPRoute that names it, and its Services."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from sandbox.components.ingress import backends
from sandbox.components.ingress.served_hosts import PASSTHROUGH
from sandbox.kube.api import Cluster, ClusterError
from sandbox.kube.manifests import INGRESS_CLASS

INGRESS = ("networking.k8s.io/v1", "Ingress")
HTTP_ROUTE = ("gateway.networking.k8s.io/v1", "HTTPRoute")


@dataclass(frozen=True)
class Backend:
    service: str
    port: int | str | None
    namespace: str = ""


@dataclass(frozen=True)
class Rule:
    """One object's rule for a `host`, empty for any; `trouble` is the reason why its controller refuses it."""

    kind: str
    namespace: str
    name: str
    host: str
    backends: tuple[Backend, ...]
    class_name: str | None = None
    passthrough: bool = False
    secret: str | None = None
    trouble: str = ""

    def __str__(self) -> str:
        return f"{self.kind} {self.namespace}/{self.name}"


def find(cluster: Cluster, host: str, namespace: str | None = None) -> tuple[Rule, ...]:
    """Return the rules for `host`: those with the exact name, else wildcards, else those for any host.

    With a `namespace` only what is in it is read. Raises ClusterError.
    """
    rules = [*_ingresses(cluster, host, namespace), *([] if namespace else _routes(cluster, host))]
    exact = [rule for rule in rules if rule.host == host]
    named = [rule for rule in rules if rule.host]
    return tuple(exact or named or rules)


def _ingresses(cluster: Cluster, host: str, namespace: str | None) -> Iterator[Rule]:
    for ingress in cluster.list(*INGRESS, namespace):
        metadata, spec = ingress["metadata"], ingress.get("spec") or {}
        annotations = metadata.get("annotations") or {}
        for rule in spec.get("rules") or ([{}] if spec.get("defaultBackend") else ()):
            pattern = rule.get("host") or ""
            if pattern and not _is_for(pattern, host, labels=1):
                continue
            paths = (rule.get("http") or {}).get("paths") or ()
            targets = [path["backend"] for path in paths] or [spec.get("defaultBackend") or {}]
            services = [target["service"] for target in targets if target.get("service")]
            secrets = [
                str(entry["secretName"])
                for entry in spec.get("tls") or ()
                if entry.get("secretName") and any(_is_for(name, host, labels=1) for name in entry.get("hosts") or ())
            ]
            yield Rule(
                kind="Ingress",
                namespace=metadata["namespace"],
                name=metadata["name"],
                host=pattern,
                backends=tuple(
                    dict.fromkeys(Backend(service["name"], backends.number(service)) for service in services)
                ),
                class_name=spec.get("ingressClassName") or annotations.get(INGRESS_CLASS),
                passthrough=annotations.get(PASSTHROUGH) == "true",
                secret=secrets[0] if secrets else None,
            )


def _routes(cluster: Cluster, host: str) -> Iterator[Rule]:
    try:
        routes = cluster.list(*HTTP_ROUTE)
    except ClusterError as error:
        if error.status == 404:  # a cluster without the Gateway API
            return
        raise
    for route in routes:
        metadata, spec = route["metadata"], route.get("spec") or {}
        names = spec.get("hostnames") or ("",)
        pattern = next((name for name in names if not name or _is_for(name, host, labels=None)), None)
        if pattern is None:
            continue
        references = [ref for rule in spec.get("rules") or () for ref in rule.get("backendRefs") or ()]
        services = [ref for ref in references if ref.get("kind", "Service") == "Service"]
        yield Rule(
            kind="HTTPRoute",
            namespace=metadata["namespace"],
            name=metadata["name"],
            host=pattern,
            backends=tuple(
                dict.fromkeys(Backend(ref["name"], ref.get("port"), ref.get("namespace") or "") for ref in services)
            ),
            trouble=_refusal(route.get("status") or {}),
        )


def _is_for(pattern: str, host: str, *, labels: int | None) -> bool:
    if not pattern.startswith("*."):
        return pattern == host
    prefix = host.removesuffix(pattern[1:])
    return prefix not in (host, "") and (labels is None or prefix.count(".") < labels)


def _refusal(status: Mapping[str, Any]) -> str:
    conditions = [condition for parent in status.get("parents") or () for condition in parent.get("conditions") or ()]
    if not conditions:
        return "no Gateway has accepted it"
    bad = next((condition for condition in conditions if condition.get("status") == "False"), None)
    return f"{bad.get('type')} is False: {bad.get('message', '')}" if bad else ""
