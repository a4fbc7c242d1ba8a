"""Nodes that are containers of the engine, known by their provider's labels, and how they are stopped within seconds.

When a node is stopped, systemd sends SIGTERM to all its processes and waits for the last, so that after its ten seconds
the engine kills the node with whatever still writes. Some never end by themselves: a first process of a container that
has no handler for the signal does not get it (pid_namespaces(7)), and an API server waits for an etcd that is gone.
Those are ended at once, and the rest may take their time. With cgroup v1 a node may not end at all: runc freezes a
container while it sets the rules for its devices; a node that is ended in that moment takes runc with it, and nothing
is left to thaw the container (Documentation/admin-guide/cgroup-v1/freezer-subsystem.rst).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from sandbox.engine import Container, ContainerSpec, Engine, labelled
from sandbox.engine.containers import BEING_REMOVED
from sandbox.errors import SandboxError
from sandbox.names import Names
from sandbox.provider import Standing
from sandbox.system import files
from sandbox.system.wait import wait_until

# The command that a node executes before it is stopped.
STOP_COMMAND = ("bash", "-c", files.packaged(__package__, "scripts/end-processes.sh"))
# Succeeds on a node whose kubelet runs, or which has just resumed after a pause and is about to start it.
KUBELET = ("sh", "-c", "systemctl is-active --quiet kubelet || pgrep -f '[a]fter-pause' >/dev/null")
# The engine's message when it has killed a container and that does not end (moby, daemon/kill.go).
DEAF = "did not receive an exit event"
REMOVAL_PATIENCE = 30.0  # seconds
FREEZER = Path("/sys/fs/cgroup/freezer")


def end_nodes(engine: Engine, names: Names, nodes: Sequence[Container], end: Callable[[], None]) -> None:
    """Call `end`, which ends the nodes; call it again after thawing frozen nodes or awaiting their removal."""
    try:
        end()
    except SandboxError as error:
        if BEING_REMOVED in error.details:
            _await_removal(engine, nodes)
            end()
        elif DEAF in error.details and engine.facts().cgroup_version == 1:
            with _thawing(engine, names, nodes):
                end()
        else:
            raise


def _await_removal(engine: Engine, nodes: Sequence[Container]) -> None:
    wait_until(
        lambda: next((node.name for node in nodes if engine.container(node.name)), None),
        what="the removal of the nodes",
        timeout=REMOVAL_PATIENCE,
    )


@contextmanager
def _thawing(engine: Engine, names: Names, nodes: Sequence[Container]) -> Iterator[None]:
    command = ("sh", "-c", files.packaged(__package__, "scripts/thaw.sh"), "thaw", *(node.id for node in nodes))
    helper = names.thawer
    labelled.make_room(engine, helper, names.home)
    try:
        binds = {FREEZER: "/freezer"}
        engine.run(
            ContainerSpec(
                name=helper, image=nodes[0].image, command=command, labels=names.labels, network="none", binds=binds
            )
        )
        yield
    finally:
        labelled.remove(engine, helper, names.home)


@dataclass(frozen=True)
class DockerNodes:
    """The nodes that are containers with the label `mark`, a `key=value` that only those of one cluster have.

    `expected` are the names of those that are planned. Where `role` is the key of a label with their role, only those
    with one of `roles` run pods.
    """

    engine: Engine
    network: str
    control_plane: str
    mark: str
    expected: tuple[str, ...] = ()
    role: str | None = None
    roles: tuple[str, ...] = ()

    def all(self) -> tuple[Container, ...]:
        """Return every container of the cluster, running or not."""
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
        """Return the running nodes; only the one whose name is known where there are no labels."""
        return tuple(sorted(node.name for node in self._nodes() if node.running)) or (self.control_plane,)

    def every(self) -> tuple[str, ...]:
        """Return the existing and planned nodes, the control plane first."""
        others = {*self.expected, *(node.name for node in self._nodes())} - {self.control_plane}
        return (self.control_plane, *sorted(others))

    def are_several(self) -> bool:
        return len(self.every()) > 1

    def _nodes(self) -> list[Container]:
        return [node for node in self.all() if not self.role or node.labels.get(self.role) in self.roles]

    def execute(self, node: str, argv: Sequence[str]) -> tuple[int, str]:
        return self.engine.execute(node, argv)

    def read_files(self, node: str, paths: Iterable[PurePosixPath]) -> Mapping[PurePosixPath, bytes | None]:
        return self.engine.read_files(node, paths)

    def read_file(self, node: str, path: PurePosixPath) -> bytes | None:
        return self.engine.read_file(node, path)

    def write_file(self, node: str, path: PurePosixPath, data: bytes, mode: int = 0o644) -> None:
        self.engine.write_file(node, path, data, mode)

    def write_files(
        self, node: str, files: Mapping[PurePosixPath, bytes], private: Collection[PurePosixPath] = ()
    ) -> None:
        """Write files on a node at once; only root may read those that are `private`."""
        self.engine.write_files(node, files, private=private)
