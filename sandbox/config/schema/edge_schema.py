"""What a sandbox.yaml may say about the ways in: the proxy on this machine's ports, and the ingress controller."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from sandbox.config.schema.values import Address, AutoPorts, Host, Model, Ports, Subdomain, Upstream


class ProxyHost(Model):
    """A host with a way of its own through the proxy."""

    host: Host = Field(description="The exact host name, without wildcards.")
    terminate: bool = Field(
        default=False,
        description="Whether its TLS ends at the proxy, which then holds a certificate for it and tells the rest who "
        "the client is in X-Forwarded headers.",
    )
    to: Upstream | None = Field(
        default=None,
        description="HOST:PORT of a server outside the cluster that speaks plain HTTP, such as localhost:3000, which "
        "has to listen where containers reach it; implies terminate.",
    )

    @property
    def ends(self) -> bool:
        """Tell whether its TLS ends at the proxy."""
        return self.terminate or self.to is not None


def _alone(value: Any) -> Any:
    return {"host": value} if isinstance(value, str) else value


class Proxy(Model):
    """The TLS proxy that brings the host's ports to the ingress."""

    listen: Address = Field(
        default="127.0.0.1",
        description="The host's address to listen on, besides its own loopback; 0.0.0.0 lets the whole network in, at "
        "https://HOST.NAME.ADDRESS.nip.io.",
    )
    ports: AutoPorts = Field(
        default=(443, 8443),
        description="The host's ports to listen on, all of them for HTTPS. auto in a port's place: 443 for the first, "
        "8443 for the second, else the next free one, and the same again as long as the sandbox is there; auto alone: "
        "both so.",
    )
    run: Literal["container", "process"] | None = Field(
        default=None,
        description="What the proxy is: a container next to the cluster, or your own process that reaches the cluster "
        "through its API server, for clusters that no container can reach.  [default: container, and process for an "
        "existing cluster]",
    )
    hosts: tuple[Annotated[ProxyHost, BeforeValidator(_alone)], ...] = Field(
        default=(),
        description="Hosts besides those of the domain, or with a way of their own: HOST, or host, terminate and to.",
    )


class ResolvedProxy(Proxy):
    """The proxy on ports that are known."""

    ports: Ports = (443, 8443)


class Ingress(Model):
    """What routes HTTPS to services by host name."""

    controller: Literal["traefik", "nginx", "none"] = Field(
        default="traefik",
        description="The ingress controller: Traefik, the archived ingress-nginx, or none, when you bring your own.",
    )
    gateway_api: bool = Field(
        default=False, description="Whether the controller also serves the Gateway API; Traefik's only."
    )
    class_name: Subdomain | None = Field(
        default=None,
        description="With controller none on an existing cluster: the IngressClass that Ingresses of `apply` get; "
        "by default they keep their own.",
    )
    address: Upstream | None = Field(
        default=None,
        description="With controller none on an existing cluster: HOST:PORT where its ingress answers HTTPS, which the "
        "proxy's ports lead to; by default they are not listened on.",
    )
