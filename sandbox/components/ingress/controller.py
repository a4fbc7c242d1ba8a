"""What every ingress controller of a sandbox can say of itself, and the templates that its objects are made from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from string import Template
from typing import Any, Protocol

from sandbox.config import yaml_text
from sandbox.system import files

Manifest = Mapping[str, Any]
# The class that the sandbox's controller has, and what serves it (ingress-nginx's own names).
CLASS, SERVED_BY = "nginx", "k8s.io/ingress-nginx"
PASSTHROUGH = "nginx.ingress.kubernetes.io/ssl-passthrough"  # an annotation of Ingresses


def template_text(name: str) -> str:
    """Return one of the package's files as it is."""
    return files.packaged(__package__, name)


def template_objects(name: str, **values: str) -> list[dict[str, Any]]:
    """Return the objects of the file `name`, in which every `${placeholder}` has its value."""
    return yaml_text.documents(Template(template_text(name)).substitute(values))


def further_classes(names: Sequence[str]) -> list[Manifest]:
    """Return an IngressClass for each name, to be served by the sandbox's controller."""
    return [
        {
            "apiVersion": "networking.k8s.io/v1",
            "kind": "IngressClass",
            "metadata": {"name": name},
            "spec": {"controller": SERVED_BY},
        }
        for name in dict.fromkeys(names)
        if name != CLASS
    ]


class Controller(Protocol):
    """An ingress controller; its fields are all it needs. Images, pages and ports are given when it is made."""

    @property
    def title(self) -> str:
        """Return what people read while it is installed."""

    @property
    def promises(self) -> str:
        """Return what it does for the sandbox, in a few words, and what people must know of it at every `up`."""

    def groundwork(self) -> Sequence[Manifest]:
        """Return what is applied first and not compared afterwards: new kinds, a page that another step keeps.

        Raises SandboxError when it cannot be had.
        """

    def manifests(self, *, trusted: str) -> Sequence[Manifest]:
        """Return everything else, in an order to apply it in.

        `trusted` is the address range (CIDR) of the edge, the only one whose PROXY protocol header is believed. They
        need the Secret `default-tls` in the namespace of their own.
        """
