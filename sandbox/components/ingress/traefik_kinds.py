"""The kinds of Traefik's own, which it insists on where one of them, the TLSStore, is wanted."""

from __future__ import annotations

from typing import Any

GROUP = "traefik.io"
# What its informers wait for (traefik v3.6, pkg/provider/kubernetes/crd/client.go: WatchAll).
KINDS = (
    "IngressRoute",
    "IngressRouteTCP",
    "IngressRouteUDP",
    "Middleware",
    "MiddlewareTCP",
    "ServersTransport",
    "ServersTransportTCP",
    "TLSOption",
    "TLSStore",
    "TraefikService",
)


def definitions() -> list[dict[str, Any]]:
    """Their CustomResourceDefinitions, with the fields left to Traefik: it says in its log what it cannot read."""
    return [_definition(kind) for kind in KINDS]


def _definition(kind: str) -> dict[str, Any]:
    singular = kind.lower()
    names = {"kind": kind, "listKind": f"{kind}List", "singular": singular, "plural": f"{singular}s"}
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    version = {"name": "v1alpha1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{singular}s.{GROUP}"},
        "spec": {"group": GROUP, "scope": "Namespaced", "names": names, "versions": [version]},
    }
