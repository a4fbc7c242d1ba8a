"""What the rest of the sandbox knows of a kind of cluster: its nodes, and how to create, stop and delete it."""

from __future__ import annotations

import enum
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Protocol


class Standing(enum.Enum):
    """What exists of a cluster, whether or not it answers."""

    ABSENT = "absent"
    PARTIAL = "partial"  # its creation was begun and did not finish
    STOPPED = "stopped"
    RUNNING = "running"


class Nodes(Protocol):
    """The nodes of a cluster, by name; every call raises SandboxError when a node cannot be reached."""

    @property
    def network(self) -> str: ...

    @property
    def control_plane(self) -> str: ...

    def standing(self) -> Standing:
        """Return the state of the control-plane node; never PARTIAL, which only the cluster's provider can tell."""

    def running(self) -> tuple[str, ...]: ...

    def every(self) -> tuple[str, ...]:
        """Return all nodes, existing or planned: the ingress answers at a port of each that runs."""

    def execute(self, node: str, argv: Sequence[str]) -> tuple[int, str]:
        """Run a command on a node as root; return its exit status and its output."""

    def read_files(self, node: str, paths: Iterable[PurePosixPath]) -> Mapping[PurePosixPath, bytes | None]:
        """Return the content of files on a node by one command; None for those that are not there."""

    def read_file(self, node: str, path: PurePosixPath) -> bytes | None:
        """Return the content of a file on a node; None when there is none."""

    def write_file(self, node: str, path: PurePosixPath, data: bytes, mode: int = 0o644) -> None:
        """Write a file on a node, with its parent folders."""

    def write_files(
        self, node: str, files: Mapping[PurePosixPath, bytes], private: Collection[PurePosixPath] = ()
    ) -> None:
        """Write files on a node at once, with their parent folders; only root may read those that are `private`."""


class Provider(Protocol):
    """The cluster of one sandbox, existing or planned; every call raises SandboxError when its tool fails."""

    @property
    def nodes(self) -> Nodes: ...

    def standing(self) -> Standing: ...

    def stale(self) -> str | None:
        """Return how a running cluster differs from the spec in a way that cannot be repaired, or None."""

    def made_of(self) -> str:
        """Return in words the Kubernetes that runs and the image of its nodes; empty if they are not known."""

    def drift(self) -> str | None:
        """Return how a running cluster differs from the spec in a way that `start` repairs, or None."""

    def lost(self) -> str | None:
        """Return what is left of a cluster whose nodes others removed, with their data, for people; else None."""

    def create(self, say: Callable[[str], None], usable: Callable[[], None]) -> None:
        """Create the cluster and its kubeconfig, in place of a partial one.

        `say` gets lines of progress; `usable` is called once the API server answers, if that is before the end.
        """

    def start(self, say: Callable[[str], None]) -> Sequence[str]:
        """Start a cluster that is stopped, and repair one that has drifted; return the nodes to `await_news` of."""

    def await_news(self, nodes: Sequence[str]) -> None:
        """Wait until the API server tells how the pods of these nodes are now, not how they were before."""

    def stop(self) -> bool:
        """Stop the nodes that run or are paused, which keep their data; returns whether there were any."""

    def delete(self) -> bool:
        """Remove the cluster and the files made for it; returns whether there was a cluster."""

    def write_kubeconfig(self) -> None:
        """Write the kubeconfig of a running cluster again, where `Names.kubeconfig` says."""

    def load(self, archive: Path) -> None: ...
