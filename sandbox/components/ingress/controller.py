"""What every ingress controller of a sandbox can say of itself, so that one step installs whichever is wanted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

Manifest = Mapping[str, Any]
PASSTHROUGH = "nginx.ingress.kubernetes.io/ssl-passthrough"  # an annotation of Ingresses


class Controller(Protocol):
    """An ingress controller; its fields are all it needs. Images, pages and ports are given when it is made."""

    @property
    def title(self) -> str:
        """What people read while it is installed."""

    @property
    def promises(self) -> str:
        """What it does for the sandbox, in a few words, and what people must know of it at every `up`."""

    def groundwork(self) -> Sequence[Manifest]:
        """What is applied first and not compared afterwards: new kinds, a page that another step keeps.

        Raises SandboxError when it cannot be had.
        """

    def manifests(self, *, trusted: str) -> Sequence[Manifest]:
        """Everything else, in an order to apply it in.

        `trusted` is the address range (CIDR) of the edge, the only one whose PROXY protocol header is believed. They
        need the Secret `default-tls` in the namespace of their own.
        """
