"""The Docker network that nodes, registries and the edge share."""

from __future__ import annotations

from dataclasses import dataclass

from sandbox.host.engine import Engine
from sandbox.names import LABEL, NETWORK
from sandbox.steps.step import State, Status, Work


@dataclass(frozen=True)
class NetworkStep:
    """One network for every sandbox of the machine; the last one to go takes it along."""

    engine: Engine
    name: str = "network"
    needs: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        return f"Network {NETWORK}"

    def check(self) -> Status:
        network = self.engine.network(NETWORK)
        return Status(State.READY, network.subnet) if network else Status(State.ABSENT)

    def apply(self, work: Work) -> None:
        self.engine.create_network(NETWORK, {LABEL: ""})

    def undo(self) -> bool:
        network = self.engine.network(NETWORK)
        if network is None or LABEL not in network.labels or network.members:
            return False
        # A stopped container is no member, and could never be started again.
        if self.engine.containers(LABEL):
            return False
        self.engine.remove_network(NETWORK)
        return True
