"""What a sandbox.yaml may say about the way out of the cluster: nameservers, names, and the proxy of a company."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from sandbox.config.model import Limits, Model, key
from sandbox.config.schema.values import LocalPath, PodAddress, ProxyUrl, Subdomain, Unique


@dataclass(frozen=True, kw_only=True)
class OutboundProxy(Model):
    """The proxy that the outside is reached through."""

    http: ProxyUrl | None = key(default=None, description="The URL of the proxy for http://.")
    https: ProxyUrl | None = key(default=None, description="The URL of the proxy for https://.")
    no_proxy: tuple[Annotated[str, Limits(pattern=r"^[^\s,]+$")], ...] = key(
        default=(),
        description="Hosts, .domains and networks that are reached directly; the sandbox's own always are.",
    )


@dataclass(frozen=True, kw_only=True)
class Network(Model):
    """How pods reach the outside; what is changed here takes effect with the next up, in a running sandbox too."""

    nameservers: Literal["auto"] | Annotated[tuple[PodAddress, ...], Limits(min_length=1, max_length=3), Unique] = key(
        default="auto",
        description="The nameservers that outside names are resolved with, asked in this order; auto uses the "
        "host's own, a VPN's for its domains, or public ones where pods cannot reach those.",
    )
    search: Annotated[tuple[Subdomain, ...], Limits(max_length=8), Unique] = key(
        default=(),
        description="Domains that pods try after the cluster's own for short names; pods that run keep what they have.",
    )
    hosts: dict[Subdomain, PodAddress] = key(
        default={}, description="Names that pods resolve to these addresses, outside the sandbox's domain."
    )
    proxy: Literal["auto"] | OutboundProxy = key(
        default="auto",
        description="The proxy that the node pulls images through, and that pods in namespaces labelled "
        "sandbox.dev/proxy=true get as variables; auto takes the one that HTTP_PROXY and HTTPS_PROXY "
        "name, {} none.",
    )
    ca: Literal["auto", "none"] | LocalPath = key(
        default="auto",
        description="A file with the certificates of a company's CA, in PEM, for nodes, mirrors, pushes, charts and "
        "namespaces labelled sandbox.dev/trust=true; auto takes those that this machine's administrator added to the "
        "system's own.",
    )

    def __hash__(self) -> int:  # a dict has none
        return hash((self.nameservers, self.search, tuple(self.hosts.items()), self.proxy, self.ca))
