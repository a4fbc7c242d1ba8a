"""The Docker network that nodes, registries and the edge share."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass

from sandbox.errors import SandboxError
from sandbox.host import files
from sandbox.host.engine import Engine, Network
from sandbox.names import LABEL, NETWORK, Home
from sandbox.steps.step import State, Status, Work

SUBNET6 = "fd73:616e:6462::/64"  # unique local addresses (RFC 4193)


@dataclass(frozen=True)
class NetworkStep:
    """One network for every sandbox of the machine; the last one to go takes it along.

    With `ipv6` it has addresses of both kinds, for this sandbox and all others.
    """

    engine: Engine
    home: Home
    ipv6: bool = False
    name: str = "network"
    needs: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        return f"Network {NETWORK}"

    def check(self) -> Status:
        network = self.engine.network(NETWORK)
        if network is None:
            return Status(State.ABSENT)
        if self.engine.spare_networks(NETWORK):
            return Status(State.DRIFTED, "there are several of this name")
        if self._lacks_ipv6(network):
            return Status(State.DRIFTED, "it has no IPv6")
        return Status(State.READY, ", ".join(filter(None, (network.subnet, network.subnet6))))

    def apply(self, work: Work) -> None:
        with self._alone():
            network = self.engine.network(NETWORK)
            if network and self._lacks_ipv6(network):
                self._replace(network)
            elif network is None:
                self._create()
            for spare in self.engine.spare_networks(NETWORK):
                self.engine.remove_network(spare)

    def undo(self) -> bool:
        with self._alone():
            return self._remove()

    def _create(self) -> None:
        self.engine.create_network(NETWORK, {LABEL: ""}, subnet6=SUBNET6 if self.ipv6 else "")

    def _lacks_ipv6(self, network: Network) -> bool:
        return self.ipv6 and not network.subnet6

    def _replace(self, network: Network) -> None:
        """Make the network anew, which only one without containers can be."""
        if not self._remove():
            raise SandboxError(
                f"the network {NETWORK} has no IPv6, and cannot be made anew while it is in use",
                details=f"by {', '.join(sorted(network.members)) or 'containers that are stopped'}",
                fix="take all sandboxes down (`sandbox list`, `sandbox down NAME`), then run the same command again",
            )
        self._create()

    def _alone(self) -> AbstractContextManager[None]:
        """Sandboxes may start or go at the same moment, and the engine would make a network for each."""
        files.make_private_dir(self.home.network)
        return files.exclusive(self.home.network)

    def _remove(self) -> bool:
        network = self.engine.network(NETWORK)
        if network is None or LABEL not in network.labels or network.members:
            return False
        # A stopped container is no member, and could never be started again.
        if self.engine.containers(LABEL):
            return False
        for spare in self.engine.spare_networks(NETWORK):
            self.engine.remove_network(spare)
        self.engine.remove_network(NETWORK)
        return True
