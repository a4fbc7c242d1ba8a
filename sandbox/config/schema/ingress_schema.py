"""What a sandbox.yaml may say about the ingress: which controller routes requests to services."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from sandbox.config.schema.model import Model
from sandbox.config.schema.values import Subdomain, Upstream


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
