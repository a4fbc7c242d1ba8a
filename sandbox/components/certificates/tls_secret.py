"""A certificate and its key as a Secret of ours, also where cert-manager kept one under an earlier spec."""

from __future__ import annotations

import base64
from typing import Any

from sandbox.kube.api import Cluster, Manifest


def manifest(namespace: str, name: str, *, chain_pem: bytes, key_pem: bytes) -> dict[str, Any]:
    """The Secret, of type kubernetes.io/tls."""
    data = {"tls.crt": chain_pem, "tls.key": key_pem}
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "kubernetes.io/tls",
        "metadata": {"name": name, "namespace": namespace},
        "data": {key: base64.b64encode(value).decode() for key, value in data.items()},
    }


def put(cluster: Cluster, secret: Manifest) -> None:
    """Apply `secret`; a Certificate of its name, which would undo that, goes first. Raises ClusterError."""
    name, namespace = secret["metadata"]["name"], secret["metadata"]["namespace"]
    cluster.delete("cert-manager.io/v1", "Certificate", name, namespace)
    found = cluster.get("v1", "Secret", name, namespace) or {}
    if (found.get("data") or {}).keys() - secret["data"].keys():
        # What another manager has put there (`ca.crt`) an apply does not take away.
        cluster.delete("v1", "Secret", name, namespace)
    cluster.apply(secret)
