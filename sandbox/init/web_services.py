"""Finds Services that users would open in a browser, and writes Ingresses for them if the manifests have none.

In a cloud a Service of type LoadBalancer or NodePort is the way in; in a sandbox it is HTTPS by an Ingress.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Any

import yaml

from sandbox.components.ingress.served_hosts import CLASS
from sandbox.config import untyped
from sandbox.config.schema.values import LABEL
from sandbox.init.detected import NOT_HTTP, Front

FILE = "sandbox-ingress.yaml"
# Kinds that publish a Service; the first two also in charts' own groups.
ROUTES = {"Ingress", "HTTPRoute", "IngressRoute", "VirtualService", "TLSRoute"}
OPEN = ("LoadBalancer", "NodePort")
# Names of the Service that is the way in, where none has such a type.
NAMED = {"frontend", "front-end", "front", "web", "webapp", "ui", "gateway", "app", "site", "www"}
WEB = (80, 443)


def fronts(objects: Iterable[Mapping[str, Any]]) -> Iterator[Front]:
    """Yield the Services that need an Ingress; none if the objects contain an Ingress or a route."""
    objects = list(objects)
    if any(each.get("kind") in ROUTES for each in objects):
        return
    services = [each for each in objects if each.get("kind") == "Service"]
    candidates = (
        [service for service in services if untyped.at(service, "spec", "type") in OPEN],
        [service for service in services if untyped.at(service, "metadata", "name") in NAMED],
        services if len(services) == 1 else [],
        web if len(web := [service for service in services if _is_web(service)]) == 1 else [],
    )
    names: set[str] = set()
    for service in next(filter(None, candidates), ()):
        # A malformed object is reported by the cluster.
        with suppress(LookupError, TypeError, ValueError, OverflowError):
            metadata, port = service["metadata"], int(service["spec"]["ports"][0]["port"])
            is_named = re.fullmatch(LABEL, metadata["name"]) and metadata["name"] not in names
            if is_named and port not in NOT_HTTP and untyped.at(service, "spec", "clusterIP") != "None":
                names.add(metadata["name"])
                yield Front(metadata["name"], metadata.get("namespace") or "default", port)


def _is_web(service: Mapping[str, Any]) -> bool:
    if untyped.at(service, "spec", "type") in OPEN:
        return True
    return any(port.get("port") in WEB for port in untyped.mappings(service, "spec", "ports"))


def ingresses(services: Iterable[Front], domain: str) -> str:
    objects = (
        ingress(front.name, f"{front.name}.{domain}", {"number": front.port}, namespace=front.namespace)
        for front in services
    )
    return "---\n".join(yaml.safe_dump(each, sort_keys=False) for each in objects)


def ingress(service: str, host: str, port: Mapping[str, Any], **metadata: Any) -> dict[str, Any]:
    """Return an Ingress named as its Service, whose `port` is given as the API has it; with further `metadata`."""
    backend = {"service": {"name": service, "port": dict(port)}}
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "Ingress",
        "metadata": {"name": service, **metadata},
        "spec": {
            "ingressClassName": CLASS,
            "tls": [{"hosts": [host]}],
            "rules": [{"host": host, "http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": backend}]}}],
        },
    }
