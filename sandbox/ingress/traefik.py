"""Traefik as the ingress controller: it reads ingress-nginx's annotations and class, and serves our certificate."""

from __future__ import annotations

from importlib import resources
from string import Template

NAMESPACE = "sandbox-system"


def manifests(*, traefik: str, busybox: str, trusted: str) -> str:
    """The controller and the default backend, as YAML.

    `traefik` and `busybox` are image references; `trusted` is the address range (CIDR) of the edge, the only one whose
    PROXY protocol header and X-Forwarded-For are believed. They need the Secret `default-tls` and the ConfigMap of
    `page.manifest` in the same namespace.
    """
    values = {"traefik": traefik, "busybox": busybox, "trusted": trusted}
    parts = (
        resources.files(__package__).joinpath(f"{name}.yaml").read_text() for name in ("traefik", "default-backend")
    )
    return "---\n".join(Template(part).substitute(values) for part in parts)
