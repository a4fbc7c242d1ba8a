"""Traefik for a single namespace of a cluster that is not ours, with no rights anywhere else."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sandbox.components.ingress import default_backend, template
from sandbox.components.ingress.controller import Manifest

SERVICE = "sandbox-ingress"
DEFAULT, DOMAIN = "sandbox-default-tls", "sandbox-domain-tls"
# What Ingresses of the sandbox are given for a class: no controller of the cluster serves it, and this one serves all
# of its namespace.
CLASS = "sandbox"

_CERTIFICATES = """\
tls:
  stores:
    default:
      defaultCertificate: {certFile: /certificates/default/tls.crt, keyFile: /certificates/default/tls.key}
  certificates:
  - {certFile: /certificates/domain/tls.crt, keyFile: /certificates/domain/tls.key}
"""


@dataclass(frozen=True)
class TenantTraefik:
    """Traefik and the page for unknown hosts; the fields are those of Traefik, for `namespace` alone."""

    image: str
    busybox: str
    sandbox: str
    namespace: str
    port: int

    def manifests(self, certificates: str) -> Sequence[Manifest]:
        """All of it, in an order to apply it in; `certificates` stands for what the two TLS Secrets hold now."""
        own = {name: template.text(name) for name in ("page.sh", "misdirected.yaml")}
        # No host of the domain leads elsewhere, where there is no container that could take it there.
        also = {"certificates.yaml": _CERTIFICATES, "hosts": "", "httpd.conf": "E404:/site/404.html\n"}
        files = {**default_backend.parts(self.sandbox), **own, **also}
        content = hashlib.sha256(repr((sorted(files.items()), certificates)).encode()).hexdigest()[:16]
        values = {
            "traefik": self.image,
            "busybox": self.busybox,
            "namespace": self.namespace,
            "suffix": default_backend.suffix(self.port),
            "content": content,
        }
        shown: dict[str, Any] = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "sandbox-page"}}
        return [{**shown, "data": files}, *template.objects("tenant.yaml", **values)]
