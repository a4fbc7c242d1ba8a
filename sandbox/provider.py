"""What the rest of the sandbox knows of a kind of cluster: its nodes, and how to create, stop and delete it."""

import enum
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from sandbox.engine import Container, Engine


class Standing(enum.Enum):
    """What exists of a cluster, whether or not it answers."""

    ABSENT = "absent"
    PARTIAL = "partial"  # its creation was begun and did not finish
    STOPPED = "stopped"
    RUNNING = "running"


@dataclass(frozen=True)
class Nodes:
    """The containers with the label `mark`, a `key=value` that only the nodes of one cluster have.

    `expected` are the names of those that are planned. Where `role` is the key of a label with their role, only those
    with one of `roles` run pods. Every call raises SandboxError when a node cannot be reached.
    """

    engine: Engine
    network: str
    control_plane: str
    mark: str
    expected: tuple[str, ...] = ()
    role: str | None = None
    roles: tuple[str, ...] = ()

    def all(self) -> tuple[Container, ...]:
        return self.engine.containers(self.mark)

    def outside(self) -> tuple[Container, ...]:
        """Return the containers that are not on the network; a removed network of its name does not count."""
        network = self.engine.network(self.network)
        valid = ("", network.id if network else "")  # a stopped container that was connected has no network id yet
        return tuple(node for node in self.all() if node.attached.get(self.network, "none") not in valid)

    def standing(self) -> Standing:
        node = self.engine.container(self.control_plane)
        if node is None:
            return Standing.ABSENT
        return Standing.RUNNING if node.running else Standing.STOPPED

    def running(self) -> tuple[str, ...]:
        return tuple(sorted(node.name for node in self._nodes() if node.running)) or (self.control_plane,)

    def every(self) -> tuple[str, ...]:
        """Return the existing and planned nodes, the control plane first; the ingress answers on each that runs."""
        others = {*self.expected, *(node.name for node in self._nodes())} - {self.control_plane}
        return (self.control_plane, *sorted(others))

    def _nodes(self) -> list[Container]:
        return [node for node in self.all() if not self.role or node.labels.get(self.role) in self.roles]


class Provider(Protocol):
    """The cluster of one sandbox, existing or planned; every call raises SandboxError when its tool fails."""

    @property
    def nodes(self) -> Nodes: ...

    def standing(self) -> Standing: ...

    def stale(self) -> str | None:
        """Return how a running cluster differs from the spec in a way that cannot be repaired, or None."""
        return None

    def drift(self) -> str | None:
        """Return how a running cluster differs from the spec in a way that `start` repairs, or None."""

    def create(self, say: Callable[[str], None], usable: Callable[[], None]) -> None:
        """Create the cluster and its kubeconfig, in place of a partial one.

        `say` gets lines of progress; `usable` is called once the API server answers, if that is before the end.
        """

    def start(self, say: Callable[[str], None]) -> Sequence[str]:
        """Start a cluster that is stopped, and repair one that has drifted; return the nodes to `await_news` of."""

    def await_news(self, nodes: Sequence[str]) -> None:
        """Wait until the API server tells how the pods of these nodes are now, not how they were before."""
        return

    def stop(self) -> bool:
        """Stop the nodes that run or are paused, which keep their data; returns whether there were any."""

    def delete(self) -> bool:
        """Remove the cluster and the files made for it; returns whether there was a cluster."""

    def write_kubeconfig(self) -> None:
        """Write the kubeconfig of a running cluster again, where `Names.kubeconfig` says."""

    def load(self, archive: Path) -> None: ...
