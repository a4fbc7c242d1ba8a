"""The kinds of the Gateway API, from one release of it: files of its authors, known by their digests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sandbox.config import yaml_text
from sandbox.system.download import download

VERSION = "v1.6.3"
URL = f"https://raw.githubusercontent.com/kubernetes-sigs/gateway-api/{VERSION}/config/crd"
# Channel and kinds -> sha256 of the file. TLSRoute and TCPRoute are standard, yet Traefik 3.6 asks for an old version,
# v1alpha2, and only the files of the experimental channel still serve that beside v1.
FILES = {
    "standard/backendtlspolicies": "d9824b82db284bdea67d2eb0297952be51e0e7a394f02daef0d6f3fefa5d01c0",
    "standard/gatewayclasses": "d32070cb6930273a07c5ca183135712b1918cc140c6d9b6cef441cdf0e562345",
    "standard/gateways": "905c89d8fefaab9088bf9d0a8d47ebd7ec4e653a914d4bfaa575a7716f07a828",
    "standard/grpcroutes": "a96b307008290c194ad346f9bb9346dd560c12e4d4e7dfbdbe7d2fb5e812d62e",
    "standard/httproutes": "a89d17ff5ed060fa0eac015524f9252bb291f616412c13ac8cb952ed9c25c5ad",
    "standard/referencegrants": "ff8db85aaacc91fb4096975afb5782540572bf2f04842a258094cd7f50c7f38a",
    "experimental/tcproutes": "138bb82fafe9c4d4ebd6ed55818f6fb483e44bd2eb099ef01dc9daba5fbf2b4f",
    "experimental/tlsroutes": "62cc94d4d7f67c8d71c7c0ae01c98347527c20537f62d4602dc37943ddd9fa8a",
}


def definitions(folder: Path) -> list[dict[str, Any]]:
    """The CustomResourceDefinitions, from the bundle's files in `folder` or downloaded to it. Raises SandboxError."""
    found = []
    for name, digest in FILES.items():
        place = path(name)
        text = download(f"{URL}/{place}", folder / Path(place).name, sha256=digest)
        found.append(dict(yaml_text.document(text)))
    return found


def path(name: str) -> str:
    """Where the file `channel/kinds` is in the release, below config/crd."""
    channel, _, kinds = name.partition("/")
    return f"{channel}/gateway.networking.k8s.io_{kinds}.yaml"
