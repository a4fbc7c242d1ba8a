"""Which hosts answer, by the Ingresses and routes in the cluster, and the class of Ingresses that is served."""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from sandbox.kube.api import Cluster, NotFound
from sandbox.kube.manifests import ingress_hosts

# The IngressClass of the sandbox's controller, and the name of what serves it (ingress-nginx's own names).
CLASS, SERVED_BY = "nginx", "k8s.io/ingress-nginx"
GATEWAY_GROUP = "gateway.networking.k8s.io"
PASSTHROUGH = "nginx.ingress.kubernetes.io/ssl-passthrough"  # an annotation of Ingresses
_ROUTES = ("HTTPRoute", "GRPCRoute")
_PLAIN = re.compile(r"/[\w./~%-]*")

Ingress = Mapping[str, Any]


def ingresses(cluster: Cluster, namespace: str | None, *, with_routes: bool) -> list[dict[str, Any]]:
    """Return the Ingresses of a namespace or of all and, `with_routes`, the routes of the Gateway API for HTTP.

    Hosts of routes are in rules, as an Ingress has them.
    """
    own = cluster.list("networking.k8s.io/v1", "Ingress", namespace)
    return [*own, *routes(cluster)] if with_routes else own


def routes(cluster: Cluster, kinds: Iterable[str] = _ROUTES) -> list[dict[str, Any]]:
    """Return routes of the Gateway API with their hosts in rules; none without the Gateway API."""
    with_rules = []
    for kind in kinds:
        try:
            routes = cluster.list(f"{GATEWAY_GROUP}/v1", kind)
        except NotFound:
            continue
        for route in routes:
            rules = [{"host": host} for host in (route.get("spec") or {}).get("hostnames") or ()]
            own = {"metadata": route["metadata"], "status": route.get("status") or {}}
            with_rules.append({"kind": kind, **own, "spec": {"rules": rules}})
    return with_rules


def hosts_of(ingresses: Iterable[Ingress]) -> tuple[str, ...]:
    """Return the host names in the rules of Ingresses, sorted, without duplicates and without wildcards."""
    return tuple(sorted({host for ingress in ingresses for host in ingress_hosts(ingress) if "*" not in host}))


def paths_of(ingresses: Iterable[Ingress]) -> Mapping[str, str]:
    """Return a path for a link to each host: `/` where it is served, empty where all paths are regular expressions."""
    paths: dict[str, set[str]] = {}
    for ingress in ingresses:
        spec = ingress.get("spec") or {}
        for rule in spec.get("rules") or ():
            own = {path.get("path") or "/" for path in (rule.get("http") or {}).get("paths") or ()}
            root = {"/"} if not own or spec.get("defaultBackend") else set()
            paths.setdefault(str(rule.get("host")), set()).update(own | root)
    return {host: min(filter(_PLAIN.fullmatch, own), key=len, default="") for host, own in paths.items()}


def hosts_of_secrets(ingresses: Iterable[Ingress]) -> frozenset[str]:
    return frozenset(host for ingress in ingresses for entry in _secrets(ingress) for host in entry.get("hosts") or ())


def is_passed_through(ingress: Ingress) -> bool:
    return ((ingress.get("metadata") or {}).get("annotations") or {}).get(PASSTHROUGH) == "true"


def has_own_certificate(ingress: Ingress) -> bool:
    """Return whether the Ingress names a TLS Secret, or its TLS is passed through to the application."""
    return is_passed_through(ingress) or bool(_secrets(ingress))


def _secrets(ingress: Ingress) -> list[Mapping[str, Any]]:
    return [entry for entry in (ingress.get("spec") or {}).get("tls") or () if entry.get("secretName")]
