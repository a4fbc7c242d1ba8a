"""Finds Services that users would open in a browser, and writes Ingresses for them where manifests have none.

In a cloud a Service of type LoadBalancer or NodePort is the way in; in a sandbox it is HTTPS by an Ingress.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from types import MappingProxyType
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
WEB = (80, 443)
# Ports of programs that users reach by HTTPS, unlike those of databases and the like.
NOT_HTTP = {1433, 1521, 3306, 5432, 5672, 6379, 9042, 9092, 11211, 27017}
# Ports of programs that take nothing but HTTPS themselves, and how an Ingress is told so.
HTTPS = {443, 9443}
BACKEND_PROTOCOL = "nginx.ingress.kubernetes.io/backend-protocol"


def fronts(
    objects: Iterable[Mapping[str, Any]], forwarded: Mapping[str, int | None] = MappingProxyType({})
) -> Iterator[Front]:
    """Yield the Services that need an Ingress; none if the objects contain an Ingress or a route.

    The Services of workloads whose ports another tool forwards (`forwarded`) are among them; if such a workload has no
    Service, one must be written.
    """
    known = list(objects)
    if any(one.get("kind") in ROUTES for one in known):
        return
    services = [one for one in known if one.get("kind") == "Service"]
    workloads = [one for one in known if _name(one) in forwarded and _labels(one)]
    led_to = {_name(one): _leading(one, services) for one in workloads}
    yield from (front for one in workloads if not led_to[_name(one)] for front in _new(one, forwarded[_name(one)]))
    chosen = [each for each in led_to.values() if each]
    wanted = [one for one in services if untyped.at(one, "spec", "type") in OPEN or one in chosen]
    wanted = wanted or [one for one in services if str(one["metadata"].get("name")) in NAMED]
    wanted = wanted or (services if len(services) == 1 else [])
    web = [one for one in services if _is_web(one)]
    wanted = wanted or (web if len(web) == 1 else [])
    seen: set[str] = set()
    for one in wanted:
        # A malformed object is reported by the cluster.
        with suppress(LookupError, TypeError, ValueError, OverflowError):
            metadata, port = one["metadata"], int(one["spec"]["ports"][0]["port"])
            named = re.fullmatch(LABEL, metadata["name"]) and metadata["name"] not in seen
            if named and port not in NOT_HTTP and untyped.at(one, "spec", "clusterIP") != "None":
                seen.add(metadata["name"])
                yield Front(metadata["name"], metadata.get("namespace") or "default", port)


def is_reached(objects: Iterable[Mapping[str, Any]]) -> bool:
    """Return whether the objects contain an Ingress, a route or a Service on a web port."""
    return any(one.get("kind") in ROUTES or (one.get("kind") == "Service" and _is_web(one)) for one in objects)


def _is_web(service: Mapping[str, Any]) -> bool:
    if untyped.at(service, "spec", "type") in OPEN:
        return True
    return any(one.get("port") in WEB for one in untyped.mappings(service, "spec", "ports"))


def _name(one: Mapping[str, Any]) -> str:
    return str(untyped.at(one, "metadata", "name"))


def _labels(workload: Mapping[str, Any]) -> Mapping[str, Any]:
    return untyped.mapping(workload, "spec", "template", "metadata", "labels")


def _leading(workload: Mapping[str, Any], services: Iterable[Mapping[str, Any]]) -> Mapping[str, Any] | None:
    """Return the Service that leads to a workload, of several that of its name."""
    selectors = ((one, untyped.mapping(one, "spec", "selector")) for one in services)
    found = [one for one, selector in selectors if selector and selector.items() <= _labels(workload).items()]
    return next((one for one in found if _name(one) == _name(workload)), next(iter(found), None))


def _new(workload: Mapping[str, Any], port: int | None) -> Iterator[Front]:
    """Yield a Service to be written for the port of a workload, or for its first one."""
    containers = untyped.mappings(workload, "spec", "template", "spec", "containers")
    numbers = (one.get("containerPort") for each in containers for one in untyped.mappings(each, "ports"))
    number, name = port or next(numbers, None), _name(workload)
    if isinstance(number, int) and number not in NOT_HTTP and re.fullmatch(LABEL, name):
        yield Front(name, workload["metadata"].get("namespace") or "default", number, _labels(workload))


def ingresses(found: Iterable[Front], domain: str) -> str:
    """Return an Ingress for each Service, with its name below the domain, as YAML."""
    written: list[dict[str, Any]] = []
    for one in found:
        if one.selector:
            spec = {"selector": dict(one.selector), "ports": [{"port": one.port}]}
            metadata = {"name": one.name, "namespace": one.namespace}
            written.append({"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec})
        host = f"{one.name}.{domain}"
        written.append(ingress(one.name, [host], {"number": one.port}, namespace=one.namespace))
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
