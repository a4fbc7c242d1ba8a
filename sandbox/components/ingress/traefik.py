"""Traefik as the ingress controller: it reads ingress-nginx's annotations and class, and serves our certificate."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sandbox.components.ingress import default_backend, gateway_api, template, traefik_kinds
from sandbox.components.ingress.controller import Manifest
from sandbox.names import DEFAULT_TLS, EDGE_ADDRESS, READY, SYSTEM_NAMESPACE

# Straight to the API server on the pod's own node. The Service's address leads there only once kube-proxy has come so
# far; until then it leads out of the cluster, where somebody else may answer.
BESIDE = (
    {"name": "KUBERNETES_SERVICE_HOST", "valueFrom": {"fieldRef": {"fieldPath": "status.hostIP"}}},
    {"name": "KUBERNETES_SERVICE_PORT", "value": "6443"},
)
OWN_FILES = ("page.sh", "answers.sh", "known.yaml", "misdirected.yaml")
GATEWAY_ARGUMENTS = (
    "--providers.kubernetesgateway=true",
    "--providers.kubernetesgateway.experimentalchannel=true",
    "--providers.kubernetesgateway.throttleduration=200ms",
)


@dataclass(frozen=True)
class Traefik:
    """Traefik with the page for unknown hosts beside it in one pod, where it can be asked for the hosts there are.

    `image` and `busybox` are image references, `sandbox` is the sandbox's name and `port` where this machine reaches
    it. `domain_secret` holds the certificate for the domain's hosts, if the default one is not it; both are TLS Secrets
    in the system namespace. With `gateway_files`, the folder for the files of the Gateway API, it serves that as well.
    `elsewhere` are hosts of the domain that the edge does not lead here. `alone` is whether the API server listens on
    port 6443 of every node, for there is only one.
    """

    image: str
    busybox: str
    sandbox: str
    port: int
    domain_secret: str | None = None
    gateway_files: Path | None = None
    elsewhere: tuple[str, ...] = ()
    alone: bool = False

    @property
    def title(self) -> str:
        return "Ingress controller Traefik"

    @property
    def promises(self) -> str:
        also = ", Gateway sandbox-system/sandbox" if self.gateway_files else ""
        return f"class nginx, default certificate, ssl-passthrough, default backend{also}"

    def groundwork(self) -> Sequence[Manifest]:
        also = gateway_api.definitions(self.gateway_files) if self.gateway_files else []
        return [*traefik_kinds.definitions(), *also]

    def manifests(self, *, trusted: str) -> Sequence[Manifest]:
        own_files = {name: template.text(name) for name in OWN_FILES}
        files = {**default_backend.parts(self.sandbox), **own_files, "httpd.conf": "E404:/site/404.html\n"}
        values = {
            "traefik": self.image,
            "busybox": self.busybox,
            "trusted": trusted,
            "edge": EDGE_ADDRESS,
            "suffix": default_backend.suffix(self.port),
            "ready": READY.replace(".", "[.]"),
            # A pod reads its script once: another page is another pod.
            "page": hashlib.sha256(repr(sorted(files.items())).encode()).hexdigest()[:16],
        }
        metadata = {"name": "page", "namespace": SYSTEM_NAMESPACE}
        content = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": files}
        hosts = elsewhere(self.elsewhere)
        own = [self._with_domain(one) for one in template.objects("traefik.yaml", **values)]
        if self.alone:
            own = [_asking_beside(one) for one in own]
        if not self.gateway_files:
            return [hosts, content, *own]
        return [
            hosts,
            content,
            *template.objects("traefik-gateway.yaml", certificate=self.domain_secret or DEFAULT_TLS),
            *(_with_gateway(one) for one in own),
        ]

    def _with_domain(self, manifest: dict[str, Any]) -> dict[str, Any]:
        """The object, with the domain's certificate beside the default one if it is the store of certificates."""
        if manifest["kind"] == "TLSStore" and self.domain_secret:
            manifest["spec"]["certificates"] = [{"secretName": self.domain_secret}]
        return manifest


def elsewhere(hosts: Sequence[str]) -> Manifest:
    """The ConfigMap with the hosts of the domain that the edge does not lead here, which a running pod follows."""
    metadata = {"name": "elsewhere", "namespace": SYSTEM_NAMESPACE}
    data = {"hosts": "".join(f"{host}\n" for host in hosts)}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}


def _asking_beside(manifest: dict[str, Any]) -> dict[str, Any]:
    """The object, with its containers told of the API server beside them if it is Traefik."""
    if manifest["kind"] == "DaemonSet":
        for container in manifest["spec"]["template"]["spec"]["containers"]:
            container["env"] = list(BESIDE)
    return manifest


def _with_gateway(manifest: dict[str, Any]) -> dict[str, Any]:
    """The object, with Traefik told to serve the Gateway API if it is Traefik."""
    if manifest["kind"] == "DaemonSet":
        containers = manifest["spec"]["template"]["spec"]["containers"]
        next(one for one in containers if one["name"] == "traefik")["args"] += GATEWAY_ARGUMENTS
    return manifest
