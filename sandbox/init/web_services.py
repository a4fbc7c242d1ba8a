"""Finds Services that users would open in a browser, and writes Ingresses for them where manifests have none.

In a cloud a Service of type LoadBalancer or NodePort is the way in; in a sandbox it is HTTPS by an Ingress.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

import yaml

from sandbox.components.ingress.controller import CLASS
from sandbox.config import untyped
from sandbox.config.schema.values import LABEL
from sandbox.init.detected import Front

FILE = "sandbox-ingress.yaml"
# Kinds that publish a Service; the first two also in charts' own groups.
ROUTES = {"Ingress", "HTTPRoute", "IngressRoute", "VirtualService", "TLSRoute"}
OPEN = ("LoadBalancer", "NodePort")
# Names of the Service that is the way in, where none has such a type.
NAMED = {"frontend", "front-end", "front", "web", "webapp", "ui", "gateway", "app", "site", "www"}
# Ports of programs that users reach by HTTPS, unlike those of databases and the like.
NOT_HTTP = {1433, 1521, 3306, 5432, 5672, 6379, 9042, 9092, 11211, 27017}
# Ports of programs that take nothing but HTTPS themselves, and how an Ingress is told so.
HTTPS = {443, 9443}
BACKEND_PROTOCOL = "nginx.ingress.kubernetes.io/backend-protocol"


def fronts(objects: Iterable[Mapping[str, Any]]) -> Iterator[Front]:
    """Yield the Services that get an Ingress; none where the objects have a way in already."""
    known = list(objects)
    if any(one.get("kind") in ROUTES for one in known):
        return
    services = [one for one in known if one.get("kind") == "Service"]
    wanted = [one for one in services if untyped.at(one, "spec", "type") in OPEN]
    wanted = wanted or [one for one in services if str(one["metadata"].get("name")) in NAMED]
    wanted = wanted or (services if len(services) == 1 else [])
    seen: set[str] = set()
    for one in wanted:
        # A malformed object is reported by the cluster.
        with suppress(LookupError, TypeError, ValueError, OverflowError):
            metadata, port = one["metadata"], int(one["spec"]["ports"][0]["port"])
            named = re.fullmatch(LABEL, metadata["name"]) and metadata["name"] not in seen
            if named and port not in NOT_HTTP and untyped.at(one, "spec", "clusterIP") != "None":
                seen.add(metadata["name"])
                yield Front(metadata["name"], metadata.get("namespace") or "default", port)


def ingresses(found: Iterable[Front], domain: str) -> str:
    """Return an Ingress for each Service, with its name below the domain, as YAML."""
    written = (
        ingress(one.name, [f"{one.name}.{domain}"], {"number": one.port}, namespace=one.namespace) for one in found
    )
    return "# Ways to the Services that the manifests open in another way; written by `sandbox init`.\n" + "---\n".join(
        yaml.safe_dump(one, sort_keys=False) for one in written
    )


def ingress(service: str, hosts: Sequence[str], port: Mapping[str, Any], **metadata: Any) -> dict[str, Any]:
    """Return an Ingress named as its Service, whose `port` is given as the API has it; with further `metadata`."""

    def path() -> dict[str, Any]:  # each rule its own: YAML would refer to one that is shared
        return {"path": "/", "pathType": "Prefix", "backend": {"service": {"name": service, "port": dict(port)}}}

    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "Ingress",
        "metadata": {"name": service, **metadata},
        "spec": {
            "ingressClassName": CLASS,
            "tls": [{"hosts": [*hosts]}],
            "rules": [{"host": host, "http": {"paths": [path()]}} for host in hosts],
        },
    }
