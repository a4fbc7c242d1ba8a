"""Traefik as the ingress controller of a cluster, with the Gateway API if asked for, or of one namespace alone."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import Any

from sandbox.components.ingress import served_hosts
from sandbox.components.ingress.page import Page
from sandbox.config import yaml_text
from sandbox.kube.api import Manifest
from sandbox.names import DEFAULT_TLS, EDGE_ADDRESS, INGRESS_PORT, READY
from sandbox.system import files
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


def _objects(file: str, /, **values: str) -> list[dict[str, Any]]:
    return yaml_text.documents(Template(files.packaged(__package__, file)).substitute(values))


def gateway_definitions(folder: Path) -> list[dict[str, Any]]:
    """Return the CustomResourceDefinitions, from the bundle's files in `folder` or downloaded to it."""
    definitions = []
    for name, digest in GATEWAY_FILES.items():
        place = gateway_path(name)
        text = download(f"{GATEWAY_URL}/{place}", folder / Path(place).name, sha256=digest)
        definitions.append(dict(yaml_text.document(text)))
    return definitions


def gateway_path(name: str) -> str:
    """Return the path of the file `channel/kinds` in the release, below config/crd."""
    channel, _, kinds = name.partition("/")
    return f"{channel}/gateway.networking.k8s.io_{kinds}.yaml"


def page(sandbox: str, *, port: int, elsewhere: Sequence[str]) -> Page:
    content = {name: files.packaged(__package__, name) for name in ("answers.sh", "known.yaml")}
    return Page(sandbox=sandbox, port=port, files=content, elsewhere=tuple(elsewhere))


def tenant_page(sandbox: str, *, namespace: str, port: int, has_own: bool) -> Page:
    """Return the page of a sandbox in one namespace; the domain `has_own` certificate, or has the default one."""
    own = "[{certFile: /certificates/domain/tls.crt, keyFile: /certificates/domain/tls.key}]"
    text = Template(files.packaged(__package__, "certificates.yaml")).substitute(more=own if has_own else "[]")
    content = {"certificates.yaml": text}
    return Page(sandbox=sandbox, port=port, files=content, within=namespace, name="sandbox-page")


@dataclass(frozen=True, kw_only=True)
class Traefik:
    """Traefik, and in the same pod the server of the page for unknown hosts.

    `image` and `busybox` are image references. `domain_secret` holds the certificate for the domain's hosts, if it is
    not the default one; both are TLS Secrets in the system namespace. With `gateway_files`, the folder for the files of
    the Gateway API, it serves that as well. `classes` are served besides nginx. `only_node` is the name of a cluster's
    only node, if the API server listens on its port 6443.
    """

    image: str
    busybox: str
    page: Page
    domain_secret: str | None = None
    gateway_files: Path | None = None
    classes: tuple[str, ...] = ()
    only_node: str = ""

    @property
    def promises(self) -> str:
        gateway = ", Gateway sandbox-system/sandbox" if self.gateway_files else ""
        classes = ", ".join(dict.fromkeys((served_hosts.CLASS, *self.classes)))
        return f"class {classes}, default certificate, ssl-passthrough, default backend{gateway}"

    def groundwork(self) -> Sequence[Manifest]:
        """Return the objects that are applied first and not compared later."""
        gateway = gateway_definitions(self.gateway_files) if self.gateway_files else []
        definitions = [
            definition
            for kind in TRAEFIK_KINDS
            for definition in _objects("traefik-kind.yaml", kind=kind, singular=kind.lower(), plural=f"{kind.lower()}s")
        ]
        return [*definitions, *gateway, self.page.empty()]

    def manifests(self, *, trusted: str) -> Sequence[Manifest]:
        """Return all other objects, in an order to apply them in.

        `trusted` is the address range (CIDR) of the edge, the only one whose PROXY protocol header is believed.
        """
        values = {
            "traefik": self.image,
            "busybox": self.busybox,
            "trusted": trusted,
            "port": str(INGRESS_PORT),
            "edge": EDGE_ADDRESS,
            "ready": READY.replace(".", "[.]"),
        }
        objects = _objects("traefik.yaml", **values)
        for manifest in objects:
            if manifest["kind"] == "TLSStore" and self.domain_secret:
                manifest["spec"]["certificates"] = [{"secretName": self.domain_secret}]
            if manifest["kind"] == "DaemonSet":
                pod = manifest["spec"]["template"]["spec"]
                page, traefik = pod["containers"]
                if self.gateway_files:
                    traefik["args"] += GATEWAY_ARGUMENTS
                if self.only_node:
                    # It uses the API server there, which answers already. A node that joins has no API server: pods of
                    # this kind would wait for it, and could not be replaced.
                    pod["nodeSelector"] = {"kubernetes.io/hostname": self.only_node}
                    traefik["env"] += NEXT_API_SERVER
                    del page["lifecycle"]
                    pod["containers"] = [traefik, page]
        classes, gateway = list[Manifest](), list[Manifest]()
        if self.gateway_files:
            secret = self.domain_secret or DEFAULT_TLS
            gateway += _objects("traefik-gateway.yaml", certificate=secret)
        for name in dict.fromkeys(self.classes):
            if name != served_hosts.CLASS:
                classes += _objects("ingress-class.yaml", name=name)
        return [*classes, *gateway, *objects]


def tenant_manifests(*, image: str, busybox: str, namespace: str, certificates: str) -> Sequence[Manifest]:
    """Return all objects for one namespace; `certificates` changes with the two TLS Secrets."""
    return _objects("tenant.yaml", traefik=image, busybox=busybox, namespace=namespace, content=certificates)
