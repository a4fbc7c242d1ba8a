"""The interface of all ingress controllers of a sandbox, and the templates of their objects."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from string import Template
from typing import Any, Protocol

from sandbox.config import yaml_text
from sandbox.system import files

Manifest = Mapping[str, Any]
# The IngressClass of the sandbox's controller, and the name of what serves it (ingress-nginx's own names).
CLASS, SERVED_BY = "nginx", "k8s.io/ingress-nginx"
PASSTHROUGH = "nginx.ingress.kubernetes.io/ssl-passthrough"  # an annotation of Ingresses


def template_text(name: str) -> str:
    """Return the text of one of the package's files."""
    return files.packaged(__package__, name)


def template_objects(name: str, **values: str) -> list[dict[str, Any]]:
    """Return the objects in the file `name`, with every `${placeholder}` replaced by its value."""
    return yaml_text.documents(Template(template_text(name)).substitute(values))


def further_classes(names: Sequence[str]) -> list[Manifest]:
    """Return an IngressClass for each name, served by the sandbox's controller."""
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
    """An ingress controller; its fields are all it needs: images, pages and ports are given when it is made."""

    @property
    def title(self) -> str:
        """Return the words for people that progress and errors name it by."""

    @property
    def promises(self) -> str:
        """Return in a few words what it does for the sandbox, and what users must know of it at every `up`."""

    def groundwork(self) -> Sequence[Manifest]:
        """Return the objects that are applied first and not compared later: new kinds, a page that another step keeps.

        Raises SandboxError if they are not available.
        """

    def manifests(self, *, trusted: str) -> Sequence[Manifest]:
        """Return all other objects, in an order to apply them in.

        `trusted` is the address range (CIDR) of the edge, the only one whose PROXY protocol header is believed. They
        need the Secret `default-tls` in their own namespace.
        """
