"""UDP ports of this machine for Services: a container whose published ports are forwarded to a node.

HAProxy has no UDP. The container's own kernel table does the forwarding (nftables), so no process in it serves clients.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

from sandbox.components.edge import haproxy_tcp
from sandbox.components.edge.route import Port, Route
from sandbox.engine import ContainerSpec, Engine, EngineError, labelled
from sandbox.engine.container_host import UDP, joined, spare_address
from sandbox.errors import SandboxError
from sandbox.names import Names
from sandbox.system import files

MADE = "dev.sandbox.udp"
FIRST = 20000  # the first port inside, whatever the machine's port is


@dataclass(frozen=True)
class UdpPorts:
    """The container for the UDP ports of a sandbox, there if needed; the node's image has the tools."""

    engine: Engine
    names: Names

    def drift(self, route: Route) -> str | None:
        """Return how it differs from what the ports of `route` need, or None."""
        found, wanted = self.engine.container(self.names.udp), self._pairs(route)
        if found is None:
            return "no container forwards the UDP ports" if wanted else None
        if not wanted:
            return "a container forwards UDP ports that are no longer in the spec"
        if not found.running:
            return f"{found.name} is stopped"
        made = self._spec(route, also=True).labels[MADE]
        return None if found.labels.get(MADE) == made else f"{found.name} forwards other ports"

    def reconcile(self, route: Route) -> None:
        """Have it forward the ports of `route` to the nodes' ports, as far as these are known. Raises SandboxError."""
        if self.drift(route) is None:
            return
        labelled.make_room(self.engine, self.names.udp, self.names.home)
        if not self._pairs(route):
            return
        address = spare_address(self.engine, route.network, UDP)
        # Where the container has an IPv6 address, what comes to ::1 goes to that, from where no node is reached.
        also = not joined(self.engine, route.network).subnet6
        try:
            self.engine.run(replace(self._spec(route, also=also), address=address))
        except EngineError:  # no IPv6 here, or another program has its port
            self.engine.run(replace(self._spec(route, also=False), address=address))

    def stop(self) -> bool:
        """Remove it; returns whether there was one."""
        return labelled.remove(self.engine, self.names.udp, self.names.home)

    def _pairs(self, route: Route) -> Sequence[tuple[Port, int]]:
        known = dict(route.node_ports)
        return [(one, known[one.target]) for one in route.udp_ports if one.target in known]

    def _spec(self, route: Route, *, also: bool) -> ContainerSpec:
        pairs = self._pairs(route)
        publish = {FIRST + index: haproxy_tcp.binds(route, port, also=also) for index, (port, _) in enumerate(pairs)}
        words = [f"{FIRST + index}={number}" for index, (_, number) in enumerate(pairs)]
        script = files.packaged(__package__, "scripts/udp.sh")
        node = self.engine.container(self.names.node)
        if node is None:
            raise SandboxError(f"there is no node {self.names.node}, whose image forwards UDP", fix="sandbox up")
        made = repr(
            (node.image, script, words, [route.place(port) for port, _ in pairs], route.upstream, route.network)
        )
        return ContainerSpec(
            name=self.names.udp,
            image=node.image,
            command=("bash", "-c", script, "udp", route.upstream.partition(":")[0], *words),
            labels={**self.names.labels, MADE: hashlib.sha256(made.encode()).hexdigest()[:12]},
            network=route.network,
            udp=publish,
            sysctls={"net.ipv4.ip_forward": "1"},
            capabilities=("NET_ADMIN",),
            memory="32m",
            processes=32,
        )
