"""What the node and the pods are told of the proxy: the user's, and all that a sandbox reaches without."""

from __future__ import annotations

from dataclasses import dataclass

from sandbox.cluster import proxy
from sandbox.host.engine import Engine
from sandbox.host.gateway import joined
from sandbox.host.proxies import Proxies
from sandbox.names import HOST, Names
from sandbox.providers.provider import Nodes


@dataclass(frozen=True)
class Proxied:
    """The proxy of one sandbox; the variables need the nodes' network, once there is a proxy at all."""

    engine: Engine
    nodes: Nodes
    names: Names
    domain: str
    proxies: Proxies

    def variables(self) -> dict[str, str]:
        """The environment of a program that uses it, empty for none. Raises SandboxError without the network."""
        if not self.proxies:
            return {}
        hosts = (self.nodes.control_plane, self.names.registry, HOST)
        return self.proxies.variables(proxy.inside(self.domain, hosts, joined(self.engine, self.nodes.network).subnet))

    def __str__(self) -> str:
        return str(self.proxies)
