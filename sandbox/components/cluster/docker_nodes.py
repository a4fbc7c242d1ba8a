"""Nodes that are containers of the engine, known by the labels of whoever made them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from sandbox.engine import Container, Engine
from sandbox.provider import Standing


@dataclass(frozen=True)
class Containers:
    """The containers with the label `mark`, a `key=value` that only one cluster's have.

    `expected` are the names of those that are to be. Where `role` is the key of a label that tells what they do, only
    those with one of `roles` run pods.
    """

    engine: Engine
    network: str
    control_plane: str
    mark: str
    expected: tuple[str, ...] = ()
    role: str | None = None
    roles: tuple[str, ...] = ()

    def all(self) -> tuple[Container, ...]:
        """Every container of the cluster, running or not."""
        return self.engine.containers(self.mark)

    def outside(self) -> tuple[Container, ...]:
        """The containers that are not on the network, or on one of its name that is no more."""
        network = self.engine.network(self.network)
        known = ("", network.id if network else "")  # what joined while it was stopped knows no id yet
        return tuple(one for one in self.all() if one.attached.get(self.network, "none") not in known)

    def standing(self) -> Standing:
        """Whether the control-plane node is there and runs."""
        found = self.engine.container(self.control_plane)
        if found is None:
            return Standing.ABSENT
        return Standing.RUNNING if found.running else Standing.STOPPED

    def running(self) -> tuple[str, ...]:
        """The nodes that run; the one whose name is known where nothing is labelled."""
        return tuple(sorted(one.name for one in self._nodes() if one.running)) or (self.control_plane,)

    def every(self) -> tuple[str, ...]:
        """The nodes that are there or are to be, the control plane first."""
        others = {*self.expected, *(one.name for one in self._nodes())} - {self.control_plane}
        return (self.control_plane, *sorted(others))

    def _nodes(self) -> list[Container]:
        return [one for one in self.all() if not self.role or one.labels.get(self.role) in self.roles]

    def execute(self, node: str, argv: Sequence[str]) -> tuple[int, str]:
        """Run a command on a node."""
        return self.engine.execute(node, argv)

    def read_file(self, node: str, path: PurePosixPath) -> bytes | None:
        """Read a file on a node."""
        return self.engine.read_file(node, path)

    def write_file(self, node: str, path: PurePosixPath, data: bytes, mode: int = 0o644) -> None:
        """Write a file on a node."""
        self.engine.write_file(node, path, data, mode)
