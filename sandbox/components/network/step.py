"""The Docker network of a sandbox: no other sandbox is on it, and its labels claim the name on this engine."""

import hashlib
from contextlib import AbstractContextManager
from dataclasses import dataclass

from sandbox.engine import Engine, EngineError, Network, labelled
from sandbox.errors import SandboxError
from sandbox.names import LABEL, Names
from sandbox.step import State, Status, Work
from sandbox.system import files

LOSES = "everything in the cluster"
# The engine's message when it has no address range left (moby: ipamutils, ipams/defaultipam).
EXHAUSTED = ("all predefined address pools", "non-overlapping IPv4 address pool")


@dataclass(frozen=True)
class NetworkStep:
    """The network of nodes, registry and mirrors, made first and removed last; the edge joins it.

    With `ipv6` it has addresses of both kinds. Half of those of IPv4 are reserved for Services.
    """

    engine: Engine
    names: Names
    ipv6: bool = False
    name: str = "network"
    requires: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        return f"Network {self.names.network}"

    def check(self) -> Status:
        network = self._find()
        if network is None:
            return Status(State.ABSENT)
        if self.engine.spare_networks(self.names.network):
            return Status(State.DRIFTED, "there are several of this name")
        if self._lacks_ipv6(network):
            if self._is_free(network):
                return Status(State.DRIFTED, "it has no IPv6")
            return Status(State.STALE, "it has no IPv6, and cannot get it while containers are on it", LOSES)
        return Status(State.READY, ", ".join(filter(None, (network.subnet, network.subnet6))))

    def apply(self, work: Work) -> None:
        with self._alone():
            self._remove_spares()  # of a command that was killed before it gave way
            labelled.require(self.engine, self.names)
            network = self._find()
            if network and self._lacks_ipv6(network):
                if not self._remove():
                    raise SandboxError(
                        f"the network {network.name} has no IPv6, and cannot be recreated while it is in use",
                        details=f"by {', '.join(sorted(network.members)) or 'containers that are stopped'}",
                        fix=f"sandbox down {self.names.name}, then run the same command again",
                    )
                network = None
            if network is None:
                self._create()
            self._keep_one()

    def undo(self) -> bool:
        with self._alone():
            return self._remove()

    def _find(self) -> Network | None:
        return self.engine.network(self.names.network)

    def _lacks_ipv6(self, network: Network) -> bool:
        return self.ipv6 and not network.subnet6

    def _create(self) -> None:
        try:
            range6 = subnet6(self.names.network) if self.ipv6 else ""
            self.engine.create_network(self.names.network, self.names.labels, subnet6=range6, halved=True)
        except EngineError as error:
            if not any(words in error.details for words in EXHAUSTED):
                raise
            raise SandboxError(
                f"the engine has no address range left for the network {self.names.network}",
                details=error.details,
                fix="remove networks that nothing uses (`docker network ls`, `docker network prune`), or add ranges: "
                '"default-address-pools" in /etc/docker/daemon.json',
                id="no-subnet",
            ) from error

    def _keep_one(self) -> None:
        # Of two users who created one at the same moment, the first keeps the name.
        has_spares = self._remove_spares()
        first = self._find()
        if has_spares and first and LABEL in first.labels and not labelled.is_ours(first, self.names.home):
            raise labelled.taken(self.names, f"the network {self.names.network}", first.labels)

    def _remove_spares(self) -> bool:
        spares = self.engine.spare_networks(self.names.network)
        for spare in spares:
            if labelled.is_ours(spare, self.names.home):
                self.engine.remove_network(spare.id)
        return bool(spares)

    def _alone(self) -> AbstractContextManager[None]:
        # Of two commands at the same moment, each would create one.
        files.make_private_dir(self.names.home.networks)
        return files.exclusive(self.names.home.networks)

    def _remove(self) -> bool:
        self._remove_spares()
        network = self._find()
        if network is None or not self._is_free(network):
            return False
        self.engine.remove_network(network.id)
        return True

    def _is_free(self, network: Network) -> bool:
        if network.members or not labelled.is_ours(network, self.names.home):
            return False
        # A stopped container is no member, and could never be started again.
        containers = (*labelled.containers(self.engine, self.names.home), self.engine.container(self.names.node))
        return not any(container and network.name in container.attached for container in containers)


def subnet6(network: str) -> str:
    """Return a range of unique local addresses for the network (RFC 4193, section 3.2), the same at every `up`."""
    digits = hashlib.sha256(network.encode()).hexdigest()
    return f"fd{digits[:2]}:{digits[2:6]}:{digits[6:10]}:{digits[10:14]}::/64"
