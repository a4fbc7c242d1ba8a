"""Traefik as the ingress controller of a cluster, with the Gateway API if asked for, or of one namespace alone."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sandbox.components.ingress import controller, default_backend
from sandbox.components.ingress.controller import Manifest
from sandbox.config import yaml_text
from sandbox.names import DEFAULT_TLS, EDGE_ADDRESS, INGRESS_PORT, READY, SYSTEM_NAMESPACE, port_suffix
from sandbox.system.download import download

TRAEFIK_GROUP = "traefik.io"
# The kinds that its informers wait for (traefik v3.7, pkg/provider/kubernetes/crd/client.go: WatchAll).
TRAEFIK_KINDS = (
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
GATEWAY_VERSION = "v1.6.3"
GATEWAY_URL = f"https://raw.githubusercontent.com/kubernetes-sigs/gateway-api/{GATEWAY_VERSION}/config/crd"
# Channel and kinds -> sha256 of the file. TCPRoute is standard, yet Traefik 3.7 asks for an old version, v1alpha2,
# which only the file of the experimental channel still serves next to v1.
GATEWAY_FILES = {
    "standard/backendtlspolicies": "d9824b82db284bdea67d2eb0297952be51e0e7a394f02daef0d6f3fefa5d01c0",
    "standard/gatewayclasses": "d32070cb6930273a07c5ca183135712b1918cc140c6d9b6cef441cdf0e562345",
    "standard/gateways": "905c89d8fefaab9088bf9d0a8d47ebd7ec4e653a914d4bfaa575a7716f07a828",
    "standard/grpcroutes": "a96b307008290c194ad346f9bb9346dd560c12e4d4e7dfbdbe7d2fb5e812d62e",
    "standard/httproutes": "a89d17ff5ed060fa0eac015524f9252bb291f616412c13ac8cb952ed9c25c5ad",
    "standard/referencegrants": "ff8db85aaacc91fb4096975afb5782540572bf2f04842a258094cd7f50c7f38a",
    "experimental/tcproutes": "138bb82fafe9c4d4ebd6ed55818f6fb483e44bd2eb099ef01dc9daba5fbf2b4f",
    "experimental/tlsroutes": "62cc94d4d7f67c8d71c7c0ae01c98347527c20537f62d4602dc37943ddd9fa8a",
}
# Directly to the API server on the pod's own node. The Service's address works only once kube-proxy has set it up;
# until then it leads out of the cluster, where another host may answer.
NEXT_API_SERVER = (
    {"name": "KUBERNETES_SERVICE_HOST", "valueFrom": {"fieldRef": {"fieldPath": "status.hostIP"}}},
    {"name": "KUBERNETES_SERVICE_PORT", "value": "6443"},
)
OWN_FILES = ("page.sh", "answers.sh", "known.yaml", "misdirected.yaml", "cluster.yaml")
GATEWAY_ARGUMENTS = (
    "--providers.kubernetesgateway=true",
    "--providers.kubernetesgateway.experimentalchannel=true",
    "--providers.kubernetesgateway.throttleduration=200ms",
)
SERVICE = "sandbox-ingress"
DEFAULT, DOMAIN = "sandbox-default-tls", "sandbox-domain-tls"
# The class for Ingresses in a shared cluster: no controller of the cluster serves it, and the sandbox's serves all
# Ingresses of its namespace.
CLASS = "sandbox"

_CERTIFICATES = """\
tls:
  stores:
    default:
      defaultCertificate: {certFile: /certificates/default/tls.crt, keyFile: /certificates/default/tls.key}
"""
_OF_THE_DOMAIN = """\
  certificates:
  - {certFile: /certificates/domain/tls.crt, keyFile: /certificates/domain/tls.key}
"""


def traefik_definitions() -> list[dict[str, Any]]:
    """Return the CustomResourceDefinitions of its kinds, without schemas: Traefik logs what it cannot read."""
    return [_definition(kind) for kind in TRAEFIK_KINDS]


def _definition(kind: str) -> dict[str, Any]:
    singular = kind.lower()
    names = {"kind": kind, "listKind": f"{kind}List", "singular": singular, "plural": f"{singular}s"}
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    version = {"name": "v1alpha1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{singular}s.{TRAEFIK_GROUP}"},
        "spec": {"group": TRAEFIK_GROUP, "scope": "Namespaced", "names": names, "versions": [version]},
    }


def gateway_definitions(folder: Path) -> list[dict[str, Any]]:
    """Return the CustomResourceDefinitions, from the bundle's files in `folder` or downloaded to it.

    Raises SandboxError.
    """
    found = []
    for name, digest in GATEWAY_FILES.items():
        place = gateway_path(name)
        text = download(f"{GATEWAY_URL}/{place}", folder / Path(place).name, sha256=digest)
        found.append(dict(yaml_text.document(text)))
    return found


def gateway_path(name: str) -> str:
    """Return the path of the file `channel/kinds` in the release, below config/crd."""
    channel, _, kinds = name.partition("/")
    return f"{channel}/gateway.networking.k8s.io_{kinds}.yaml"


@dataclass(frozen=True, kw_only=True)
class Traefik:
    """Traefik, and in the same pod the server of the page for unknown hosts, which asks Traefik for its hosts.

    `image` and `busybox` are image references, `sandbox` is the sandbox's name and `port` where this machine reaches
    it. `domain_secret` holds the certificate for the domain's hosts, if it is not the default one; both are TLS Secrets
    in the system namespace. With `gateway_files`, the folder for the files of the Gateway API, it serves that as well.
    `elsewhere` are hosts of the domain that the edge routes elsewhere, `classes` are served besides nginx. `only_node`
    is the name of a cluster's only node, if the API server listens on its port 6443.
    """

    image: str
    busybox: str
    sandbox: str
    port: int
    domain_secret: str | None = None
    gateway_files: Path | None = None
    elsewhere: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()
    only_node: str = ""
    title: str = "Ingress controller Traefik"

    @property
    def promises(self) -> str:
        also = ", Gateway sandbox-system/sandbox" if self.gateway_files else ""
        classes = ", ".join(dict.fromkeys((controller.CLASS, *self.classes)))
        return f"class {classes}, default certificate, ssl-passthrough, default backend{also}"

    def groundwork(self) -> Sequence[Manifest]:
        also = gateway_definitions(self.gateway_files) if self.gateway_files else []
        return [*traefik_definitions(), *also]

    def manifests(self, *, trusted: str) -> Sequence[Manifest]:
        own_files = {name: controller.template_text(name) for name in OWN_FILES}
        files = {**default_backend.parts(self.sandbox), **own_files, "httpd.conf": "E404:/site/404.html\n"}
        values = {
            "traefik": self.image,
            "busybox": self.busybox,
            "trusted": trusted,
            "port": str(INGRESS_PORT),
            "edge": EDGE_ADDRESS,
            "suffix": port_suffix(self.port),
            "ready": READY.replace(".", "[.]"),
            # A pod reads its script once: another page needs another pod.
            "page": hashlib.sha256(repr(sorted(files.items())).encode()).hexdigest()[:16],
        }
        metadata = {"name": "page", "namespace": SYSTEM_NAMESPACE}
        content = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": files}
        hosts = elsewhere(self.elsewhere)
        own = [self._with_domain(one) for one in controller.template_objects("traefik.yaml", **values)]
        if self.only_node:
            own = [_asking_own_node(one, self.only_node) for one in own]
        classes = controller.further_classes(self.classes)
        gateway: Sequence[Manifest] = ()
        if self.gateway_files:
            secret = self.domain_secret or DEFAULT_TLS
            gateway = controller.template_objects("traefik-gateway.yaml", certificate=secret)
            own = list(map(_with_gateway, own))
        return [*classes, hosts, content, *gateway, *own]

    def _with_domain(self, manifest: dict[str, Any]) -> dict[str, Any]:
        """Return the object; if it is the TLSStore, with the domain's certificate next to the default one."""
        if manifest["kind"] == "TLSStore" and self.domain_secret:
            manifest["spec"]["certificates"] = [{"secretName": self.domain_secret}]
        return manifest


def elsewhere(hosts: Sequence[str]) -> Manifest:
    """Return the ConfigMap of hosts in the domain that the edge routes elsewhere; a running pod follows it."""
    metadata = {"name": "elsewhere", "namespace": SYSTEM_NAMESPACE}
    data = {"hosts": "".join(f"{host}\n" for host in hosts)}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}


def _asking_own_node(manifest: dict[str, Any], node: str) -> dict[str, Any]:
    """Return the object; if it is Traefik, it runs on this node, and its containers use the API server there.

    A node that joins has no API server: pods of this kind would wait for it in their hooks, and could not be replaced.
    """
    if manifest["kind"] == "DaemonSet":
        pod = manifest["spec"]["template"]["spec"]
        pod["nodeSelector"] = {"kubernetes.io/hostname": node}
        containers = pod["containers"]
        containers.reverse()  # that one answers already, and Traefik takes longest to be ready
        for container in containers:
            container["env"] = [*container.get("env", ()), *NEXT_API_SERVER]
    return manifest


def _with_gateway(manifest: dict[str, Any]) -> dict[str, Any]:
    """Return the object; if it is Traefik, it serves the Gateway API."""
    if manifest["kind"] == "DaemonSet":
        containers = manifest["spec"]["template"]["spec"]["containers"]
        next(one for one in containers if one["name"] == "traefik")["args"] += GATEWAY_ARGUMENTS
    return manifest


@dataclass(frozen=True, kw_only=True)
class TenantTraefik:
    """Traefik and the page for unknown hosts for `namespace` alone; the fields are those of Traefik.

    The domain `has_own` certificate, unless the default one is the user's.
    """

    image: str
    busybox: str
    sandbox: str
    namespace: str
    port: int
    has_own: bool = True

    def manifests(self, certificates: str) -> Sequence[Manifest]:
        """Return all objects, in an order to apply them in; `certificates` changes with the two TLS Secrets."""
        own = {name: controller.template_text(name) for name in ("page.sh", "misdirected.yaml")}
        # No host of the domain is routed elsewhere, for there is no edge container to do it.
        served = _CERTIFICATES + (_OF_THE_DOMAIN if self.has_own else "")
        also = {"certificates.yaml": served, "hosts": "", "httpd.conf": "E404:/site/404.html\n"}
        files = {**default_backend.parts(self.sandbox), **own, **also}
        content = hashlib.sha256(repr((sorted(files.items()), certificates)).encode()).hexdigest()[:16]
        values = {
            "traefik": self.image,
            "busybox": self.busybox,
            "namespace": self.namespace,
            "suffix": port_suffix(self.port),
            "content": content,
        }
        shown: dict[str, Any] = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "sandbox-page"}}
        return [{**shown, "data": files}, *controller.template_objects("tenant.yaml", **values)]
