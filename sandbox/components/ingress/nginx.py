"""ingress-nginx as the ingress controller, for users who need the same program that production still runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sandbox.components.ingress import controller, default_backend
from sandbox.components.ingress.controller import Manifest
from sandbox.names import INGRESS_PORT

# Its last release, of 2026-03-19.
IMAGE = (
    "registry.k8s.io/ingress-nginx/controller:v1.15.1"
    "@sha256:594ceea76b01c592858f803f9ff4d2cb40542cae2060410b2c95f75907d659e1"
)


@dataclass(frozen=True)
class Nginx:
    """ingress-nginx, and a default backend whose page lists the hosts of the last `up`.

    `busybox` is an image, `sandbox` the sandbox's name, `port` where this machine reaches it; `classes` are served
    besides its own.
    """

    busybox: str
    sandbox: str
    port: int
    classes: tuple[str, ...] = ()
    title: str = "Ingress controller ingress-nginx"
    promises: str = (
        "archived in March 2026, no security fixes since: move to `controller: traefik`, which reads the same"
    )

    def groundwork(self) -> Sequence[Manifest]:
        return [default_backend.manifest(default_backend.render(self.sandbox, (), port=self.port))]

    def manifests(self, *, trusted: str) -> Sequence[Manifest]:
        backend = controller.template_objects("default-backend.yaml", busybox=self.busybox)
        classes = controller.further_classes(self.classes)
        values = {"nginx": IMAGE, "trusted": trusted, "port": str(INGRESS_PORT)}
        return [*classes, *backend, *controller.template_objects("nginx.yaml", **values)]
