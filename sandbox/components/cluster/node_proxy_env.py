"""What the node and the pods are told of the proxy: the user's, and all that a sandbox reaches without."""

from __future__ import annotations

from dataclasses import dataclass

from sandbox.components.cluster import pod_proxy
from sandbox.components.network.proxy_settings import Proxies
from sandbox.engine import Engine
from sandbox.engine.container_host import joined
from sandbox.errors import SandboxError
from sandbox.names import HOST, Names
from sandbox.provider import Nodes


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
        return self.proxies.variables(
            pod_proxy.inside(self.domain, hosts, joined(self.engine, self.nodes.network).subnet)
        )

    def is_in_force(self, node: str) -> bool:
        """Whether the containerd that runs on the node was told of it."""
        return pod_proxy.read_shown(self._on_node(node, pod_proxy.SHOWN)) == self.variables()

    def enforce(self, node: str) -> None:
        """Start the node's containerd anew with what is now written there of the proxy; pods run on."""
        self._on_node(node, pod_proxy.RESTART)

    def drop_in(self) -> str:
        """What tells containerd of it, for proxy.DROP_IN."""
        return pod_proxy.drop_in(self.variables())

    def _on_node(self, node: str, script: str) -> str:
        status, output = self.nodes.execute(node, ["sh", "-c", script])
        if status != 0:
            raise SandboxError(f"the proxy of {node} cannot be read or set", details=output)
        return output

    def __str__(self) -> str:
        return str(self.proxies)
