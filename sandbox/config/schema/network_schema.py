"""What a sandbox.yaml may say about the way out of the cluster: nameservers, names, and the proxy of a company."""

from typing import Annotated, Literal

from pydantic import Field

from sandbox.config.model import Document
from sandbox.config.schema.values import LocalPath, PodAddress, ProxyUrl, Subdomain, Unique


class OutboundProxy(Document):
    """The proxy that the outside is reached through."""

    http: ProxyUrl | None = Field(default=None, description="The URL of the proxy for http://.")
    https: ProxyUrl | None = Field(default=None, description="The URL of the proxy for https://.")
    no_proxy: tuple[Annotated[str, Field(pattern=r"^[^\s,]+$")], ...] = Field(
        default=(),
        description="Hosts, .domains and networks that are reached directly; the sandbox's own always are.",
    )


class Network(Document):
    """How pods reach the outside; what is changed here takes effect with the next up, in a running sandbox too."""

    nameservers: Literal["auto"] | Annotated[tuple[PodAddress, ...], Field(min_length=1, max_length=3), Unique] = Field(
        default="auto",
        description="The nameservers that outside names are resolved with, asked in this order; auto uses the "
        "host's own, a VPN's for its domains, or public ones where pods cannot reach those.",
    )
    search: Annotated[tuple[Subdomain, ...], Field(max_length=8), Unique] = Field(
        default=(),
        description="Domains that pods try after the cluster's own for short names; pods that run keep what they have.",
    )
    hosts: dict[Subdomain, PodAddress] = Field(
        default={}, description="Names that pods resolve to these addresses, outside the sandbox's domain."
    )
    proxy: Literal["auto"] | OutboundProxy = Field(
        default="auto",
        description="The proxy that the node pulls images through, and that pods in namespaces labelled "
        "sandbox.dev/proxy=true get as variables; auto takes the one that HTTP_PROXY and HTTPS_PROXY name, {} none.",
    )
    ca: Literal["auto", "none"] | LocalPath = Field(
        default="auto",
        description="A file with the certificates of a company's CA, in PEM, for nodes, mirrors, pushes, charts and "
        "namespaces labelled sandbox.dev/trust=true; auto takes those that this machine's administrator added to the "
        "system's own.",
    )
