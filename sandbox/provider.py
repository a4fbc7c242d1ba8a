"""What the rest of the sandbox knows of a cluster's kind: its nodes, and that it can be made, stopped and removed."""

from __future__ import annotations

import enum
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Protocol, runtime_checkable

from sandbox.engine.questions import Answers, Question


class Standing(enum.Enum):
    """What there is of a cluster, whatever it answers."""

    ABSENT = "absent"
    PARTIAL = "partial"  # it was begun, and its maker never came to its end
    STOPPED = "stopped"
    RUNNING = "running"


class Nodes(Protocol):
    """A cluster's nodes, each known by its name; every call raises SandboxError when the node cannot be reached."""

    @property
    def network(self) -> str:
        """Return the engine's network that the nodes share with the registry and the edge."""

    @property
    def control_plane(self) -> str:
        """Return the first control-plane node, known before there is one."""

    def standing(self) -> Standing:
        """Return how the control-plane node stands; never PARTIAL, which only a cluster's maker can tell."""

    def running(self) -> tuple[str, ...]:
        """Return the nodes that run and can run pods."""

    def every(self) -> tuple[str, ...]:
        """Return the nodes that there are or will be: the ingress answers at ports 80 and 443 of each that runs."""

    def execute(self, node: str, argv: Sequence[str]) -> tuple[int, str]:
        """Run a command on a node as root: its exit status and its output."""

    def query(self, node: str, argv: tuple[str, ...]) -> tuple[int, str]:
        """Run a command that changes nothing, in one glance at the engine not more than once."""

    def gather(self, node: str, asked: Callable[[], Sequence[Question]]) -> None:
        """Let one command answer all that is asked, for the rest of a glance at the engine."""

    def ask(self, node: str, questions: Iterable[Question]) -> Answers:
        """Ask a node all these by one command; in a glance at the engine there may be answers already."""

    def read_file(self, node: str, path: PurePosixPath) -> bytes | None:
        """Return the content of a file on a node; None when there is none."""

    def write_file(self, node: str, path: PurePosixPath, data: bytes, mode: int = 0o644) -> None:
        """Write a file on a node, with its parent folders."""

    def write_files(
        self, node: str, files: Mapping[PurePosixPath, bytes], private: Collection[PurePosixPath] = ()
    ) -> None:
        """Write files on a node at once, with their parent folders; only root may read those that are `private`."""


@runtime_checkable
class Asking(Protocol):
    """A step whose check asks nodes what is known before, so that all steps can ask a node at once."""

    def asks(self, node: str) -> Iterable[Question]:
        """Yield what the check will ask a node that runs; what is asked for that is asked of others than nodes."""


class Provider(Protocol):
    """One sandbox's cluster, there or yet to be made; every call raises SandboxError when its tool fails."""

    @property
    def nodes(self) -> Nodes:
        """Return the way to its nodes."""

    def asks(self, node: str) -> Iterable[Question]:
        """Yield what `standing`, `stale` and `drift` will ask a node that runs."""

    def require(self) -> str:
        """Return the version of the tool that makes it. Raises MissingTool when there is none or it is too old."""

    def standing(self) -> Standing:
        """Return what there is of the cluster."""

    def stale(self) -> str | None:
        """In what a running cluster is not as the spec says and cannot become, or None."""

    def drift(self) -> str | None:
        """In what a running cluster is not as the spec says, or None; `start` repairs it."""

    def create(self, say: Callable[[str], None], usable: Callable[[], None]) -> None:
        """Make the cluster and its kubeconfig, in place of a partial one.

        `say` takes lines of progress; `usable` is called once its API server answers, if that is before the end.
        """

    def start(self, say: Callable[[str], None]) -> None:
        """Start a cluster that is stopped, and repair one that has drifted."""

    def stop(self) -> None:
        """Stop a running cluster's nodes and keep what they hold."""

    def delete(self) -> bool:
        """Remove the cluster and the files made for it; returns whether there was a cluster."""

    def write_kubeconfig(self) -> None:
        """Write the kubeconfig of a running cluster again, where `Names.kubeconfig` says."""

    def load(self, archive: Path) -> None:
        """Put the images of an archive into every node."""
