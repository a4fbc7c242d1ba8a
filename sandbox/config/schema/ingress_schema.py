"""What a sandbox.yaml may say of the ingress controller."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from sandbox.config.model import Document
from sandbox.config.schema.values import Subdomain, Upstream


def _not_retired(value: object) -> object:
    if value == "nginx":
        raise ValueError("ingress-nginx is retired; leave the key out: Traefik serves its class and its annotations")
    return value


class Ingress(Document):
    """What routes HTTPS to services by host name."""

    controller: Annotated[Literal["traefik", "none"], BeforeValidator(_not_retired)] = Field(
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
