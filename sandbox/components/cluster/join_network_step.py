"""The sandbox's containers on the cluster's own network, where its provider does not let nodes onto ours."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from sandbox.engine import Container, Engine, labelled
from sandbox.engine.container_host import spare_address
from sandbox.names import Names
from sandbox.step import State, Status, Work


@dataclass(frozen=True)
class JoinStep:
    """Registry, mirrors and edge are joined to `network`, so that nodes and they know each other by name.

    At the end of the range: providers give nodes its first addresses, and a stopped node keeps no claim to its own.
    """

    engine: Engine
    names: Names
    network: str
    needs: tuple[str, ...] = ("cluster", "registry", "edge")
    name: str = "join"

    @property
    def title(self) -> str:
        return f"Network {self.network} joined"

    def check(self) -> Status:
        there = tuple(self._containers())
        outside = [one.name for one in there if self.network not in one.addresses]
        if outside:
            return Status(State.DRIFTED if len(outside) < len(there) else State.ABSENT, f"without {', '.join(outside)}")
        return Status(State.READY, ", ".join(one.name for one in there))

    def apply(self, work: Work) -> None:
        for one in self._containers():
            if self.network not in one.addresses:
                self.engine.connect_network(self.network, one.name, spare_address(self.engine, self.network))

    def undo(self) -> bool:
        return False  # whoever removes the network takes everybody off it

    def _containers(self) -> Iterator[Container]:
        edge = self.engine.container(labelled.edge(self.engine, self.names.home))
        sandbox = labelled.containers(self.engine, self.names.home, self.names.name)
        for one in (*sandbox, *((edge,) if edge else ())):
            if one.running:
                yield one
