"""What cert-manager is told: an issuer with our issuing authority, and the certificates to keep."""

from __future__ import annotations

import base64
import ipaddress
from collections.abc import Mapping, Sequence
from typing import Any

from sandbox.components.certificates.cert_manager_release import NAMESPACE

API = "cert-manager.io/v1"
ISSUER = "sandbox"
AUTHORITY = "sandbox-issuing"


def authority(*, key_pem: bytes, cert_pem: bytes, root_pem: bytes) -> dict[str, Any]:
    """The Secret with the issuing authority; of the root only the certificate, for the `ca.crt` of what is issued.

    cert-manager serves a chain without its self-signed end (cert-manager, pkg/util/pki: ParseSingleCertificateChain).
    """
    data = {"tls.key": key_pem, "tls.crt": cert_pem + root_pem}
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "kubernetes.io/tls",
        "metadata": {"name": AUTHORITY, "namespace": NAMESPACE},
        "data": {name: base64.b64encode(value).decode() for name, value in data.items()},
    }


def issuer() -> dict[str, Any]:
    """The ClusterIssuer `sandbox`, for the user's own Certificates and annotated Ingresses too."""
    return {
        "apiVersion": API,
        "kind": "ClusterIssuer",
        "metadata": {"name": ISSUER},
        "spec": {"ca": {"secretName": AUTHORITY}},
    }


def certificate(namespace: str, secret: str, hosts: Sequence[str]) -> dict[str, Any]:
    """The Certificate that keeps the TLS Secret `secret` for exactly `hosts`: P-256, 90 days, renewed after 60."""
    addresses = [host for host in hosts if _is_address(host)]
    names = [host for host in hosts if host not in addresses]
    subjects = {"dnsNames": names, "ipAddresses": addresses}
    return {
        "apiVersion": API,
        "kind": "Certificate",
        "metadata": {"name": secret, "namespace": namespace},
        "spec": {
            "secretName": secret,
            **{key: values for key, values in subjects.items() if values},
            "duration": "2160h0m0s",
            "renewBefore": "720h0m0s",
            "privateKey": {"algorithm": "ECDSA", "size": 256, "encoding": "PKCS8", "rotationPolicy": "Always"},
            "usages": ["digital signature", "server auth"],
            "issuerRef": {"group": "cert-manager.io", "kind": "ClusterIssuer", "name": ISSUER},
        },
    }


def pending(live: Mapping[str, Any]) -> str | None:
    """What an issuer or a Certificate still lacks to be ready, in cert-manager's own words, or None."""
    generation = live["metadata"].get("generation", 1)
    for condition in (live.get("status") or {}).get("conditions") or ():
        if condition["type"] == "Ready" and condition.get("observedGeneration", generation) == generation:
            return None if condition["status"] == "True" else str(condition.get("message", "not ready"))
    return "not yet seen by cert-manager"


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
