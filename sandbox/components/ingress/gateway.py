"""The routes of the Gateway API that the sandbox serves."""

from __future__ import annotations

from typing import Any

from sandbox.kube.api import Cluster, ClusterError

GATEWAY_GROUP = "gateway.networking.k8s.io"
KINDS = ("HTTPRoute", "GRPCRoute")
UNKNOWN = 404


def routes(cluster: Cluster) -> list[dict[str, Any]]:
    """Return the routes for HTTP with their hosts in rules as an Ingress has them; none without the Gateway API."""
    found = [one for kind in KINDS for one in _of_kind(cluster, kind)]
    return [
        {
            "kind": one["kind"],
            "metadata": one["metadata"],
            "spec": {"rules": [{"host": host} for host in (one.get("spec") or {}).get("hostnames") or ()]},
        }
        for one in found
    ]


def ingresses(cluster: Cluster, namespace: str | None, *, with_routes: bool) -> list[dict[str, Any]]:
    """Return the Ingresses of a namespace or of all and, `with_routes`, what `routes` returns."""
    found = cluster.list("networking.k8s.io/v1", "Ingress", namespace)
    return [*found, *routes(cluster)] if with_routes else found


def _of_kind(cluster: Cluster, kind: str) -> list[dict[str, Any]]:
    try:
        return cluster.list(f"{GATEWAY_GROUP}/v1", kind)
    except ClusterError as error:
        if error.status != UNKNOWN:
            raise
        return []
