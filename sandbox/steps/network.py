"""The Docker network that nodes, registries and the edge share."""

from __future__ import annotations

from dataclasses import dataclass

from sandbox.host.engine import Engine
from sandbox.names import LABEL, NETWORK
from sandbox.steps.step import Say, State, Status


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

    def apply(self, say: Say) -> None:
        self.engine.create_network(NETWORK, {LABEL: ""})

    def undo(self) -> None:
        network = self.engine.network(NETWORK)
        if network and LABEL in network.labels and not network.members:
            self.engine.remove_network(NETWORK)
