"""Keys of sandbox.yaml for the edge's hosts and ports, the ingress controller, and certificates."""

from typing import Annotated, Literal

from pydantic import Field

from sandbox.config.model import Document, short_form
from sandbox.config.schema.values import (
    Address,
    AutoPort,
    AutoPorts,
    Host,
    Label,
    LocalPath,
    Port,
    Ports,
    ServicePort,
    Subdomain,
    Unique,
    Upstream,
)

PROXY_PROTOCOL = "Pass on the client's address by the PROXY protocol, version 2; the server has to expect it."
USUAL = 15432  # the first port that `auto` tries for a Service's port that is given by name


class EdgeHost(Document):
    """A host with its own settings at the edge."""

    host: Host = Field(description="The exact host name, without wildcards.")
    terminate: bool = Field(
        default=False,
        description="Terminate its TLS at the edge, which then has a certificate for it and passes on the client's "
        "address in X-Forwarded headers.",
    )
    to: Upstream | None = Field(
        default=None,
        description="HOST:PORT of a server outside the cluster that speaks plain HTTP, such as localhost:3000, which "
        "has to listen where containers reach it; implies terminate.",
    )

    @property
    def ends(self) -> bool:
        return self.terminate or self.to is not None


class TcpPort(Document):
    """A TCP port of the host that is routed to a Service of the cluster."""

    port: AutoPort = Field(
        description="The host's port, at `listen`; auto: the Service's port, else the next free one; kept as long as "
        "the sandbox exists."
    )
    to: ServicePort = Field(
        description="NAMESPACE/SERVICE:PORT with the number or name of the Service's port, such as shop/db:5432; "
        "without :PORT, the host's port."
    )
    proxy_protocol: bool = Field(default=False, description=PROXY_PROTOCOL)

    @property
    def target(self) -> str:
        return self.to if ":" in self.to or self.port == "auto" else f"{self.to}:{self.port}"

    @property
    def usual(self) -> int:
        port = self.target.partition(":")[2]
        return int(port) if port.isdigit() else USUAL


class TlsHost(Document):
    """A host of the edge's HTTPS ports whose TLS goes to a Service of the cluster, whatever is spoken in it."""

    host: Host = Field(description="The exact host name that clients ask for (SNI), without wildcards.")
    to: ServicePort = Field(
        description="NAMESPACE/SERVICE:PORT with the number or name of the Service's port; its pods terminate TLS."
    )
    proxy_protocol: bool = Field(default=False, description=PROXY_PROTOCOL)


class ResolvedTcpPort(TcpPort):
    port: Port = 0


class Edge(Document):
    """The edge: it routes TLS from the host's ports to the ingress."""

    listen: Address = Field(
        default="127.0.0.1",
        description="The host's address to listen on, besides loopback; 0.0.0.0 admits the whole network, at "
        "https://HOST.NAME.ADDRESS.nip.io.",
    )
    ports: AutoPorts = Field(
        default=(443, 8443),
        description="The host's ports to listen on, all for HTTPS. auto instead of a port: 443 for the first, 8443 for "
        "the second, else the next free one; kept as long as the sandbox exists. auto alone: both.",
    )
    run: Literal["container", "process"] | None = Field(
        default=None,
        description="How the edge reaches the cluster: from its container by the nodes' addresses, or by a process "
        "on this machine that runs `kubectl port-forward`, where containers cannot reach nodes.  [default: container, "
        "and process for an existing cluster]",
    )
    hosts: tuple[Annotated[EdgeHost, short_form("host")], ...] = Field(
        default=(),
        description="Hosts outside the domain, or with their own settings: HOST, or host, terminate and to.",
    )
    tcp: tuple[TcpPort, ...] = Field(
        default=(),
        description="TCP ports of the host that are routed to one Service each, in any protocol.",
    )
    tls: tuple[TlsHost, ...] = Field(
        default=(),
        description="Hosts of `ports` whose TLS goes unchanged to one Service each: databases and queues by name.",
    )


class ResolvedEdge(Edge):
    ports: Ports = (443, 8443)
    tcp: tuple[ResolvedTcpPort, ...] = ()


class Ingress(Document):
    """What routes HTTPS to services by host name."""

    controller: Literal["traefik", "none"] = Field(
        default="traefik", description="The ingress controller: Traefik, or none, when you bring your own."
    )
    gateway_api: bool = Field(
        default=False, description="Whether the controller also serves the Gateway API; Traefik's only."
    )
    classes: tuple[Subdomain, ...] = Field(
        default=(),
        description="Further ingress classes to serve, those of other controllers: alb, gce. An IngressClass that "
        "`up` did not create is not changed.",
    )
    class_name: Subdomain | None = Field(
        default=None,
        description="With controller none on an existing cluster: the IngressClass that Ingresses of `apply` get; "
        "by default they keep their own.",
    )
    address: Upstream | None = Field(
        default=None,
        description="With controller none on an existing cluster: HOST:PORT where its ingress answers HTTPS, to which "
        "the edge's ports route; by default there is no edge.",
    )


class Certificate(Document):
    """A TLS Secret; its certificate is made for exactly the hosts that it lists."""

    secret: Subdomain = Field(description="The name of the TLS Secret.")
    namespace: Label = Field(default="default", description="The namespace of the Secret.")
    hosts: Annotated[tuple[Host, ...], Unique] = Field(
        min_length=1, description="The certificate's host names, each inside the sandbox's domain."
    )


class KeyPairFiles(Document):
    """A certificate of your own, in PEM."""

    cert: LocalPath = Field(description="The certificate, followed by those of its issuers.")
    key: LocalPath = Field(description="Its private key, without a passphrase.")


class Certs(Document):
    """The certificates: who issues them, and which there are besides the default one."""

    issuer: Literal["sandbox", "cert-manager"] = Field(
        default="sandbox", description="What issues certificates: the sandbox itself, or cert-manager in the cluster."
    )
    default: KeyPairFiles | None = Field(
        default=None, description="The default certificate, if it is not to be one of the sandbox's own CA."
    )
    secrets: tuple[Certificate, ...] = Field(default=(), description="TLS Secrets with their own certificates.")
