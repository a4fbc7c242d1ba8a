"""The Docker network that nodes, registries and the edge share."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass

from sandbox.host import files
from sandbox.host.engine import Engine
from sandbox.names import LABEL, NETWORK, Home
from sandbox.steps.step import State, Status, Work


@dataclass(frozen=True)
class NetworkStep:
    """One network for every sandbox of the machine; the last one to go takes it along."""

    engine: Engine
    home: Home
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
        return Status(State.READY, network.subnet)

    def apply(self, work: Work) -> None:
        with self._alone():
            if self.engine.network(NETWORK) is None:
                self.engine.create_network(NETWORK, {LABEL: ""})
            for spare in self.engine.spare_networks(NETWORK):
                self.engine.remove_network(spare)

    def undo(self) -> bool:
        with self._alone():
            return self._remove()

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
